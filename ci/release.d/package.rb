# frozen_string_literal: true

require 'digest'
require 'yaml'

module Release
  ROOT = ENV.fetch('RELEASE_DIR', File.expand_path('../..', __dir__))

  # What cannot go on; its message is for the person who ran the command.
  class Failed < StandardError; end

  # A package as `bosh create-release` sees it: which files its globs take in, and its fingerprint.
  class Package
    def self.all(root = ROOT) = Dir.children(File.join(root, 'packages')).sort.map { |name| new(name, root) }

    attr_reader :name, :root

    def initialize(name, root = ROOT)
      @name, @root = name, root
      raise Failed, "there is no package #{name} in #{File.join(root, 'packages')}" unless File.exist?(directory('spec')) || vendored?
    end

    def directory(*parts) = File.join(root, 'packages', name, *parts)

    # `bosh vendor-package` leaves a lock in place of spec and packaging: the package comes from another release.
    def vendored? = File.exist?(directory('spec.lock'))
    def spec = @spec ||= vendored? ? {} : YAML.load_file(directory('spec'))
    def packaging = File.read(directory('packaging'))
    def globs = spec['files'] || []
    def dependencies = (spec['dependencies'] || []).map { |d| Package.new(d, root) }

    # Path in the package => file here. As the CLI does: src before blobs, dot files too, directories not followed.
    def files = globs.map { |glob| matches(glob) }.reverse.reduce({}, :merge)

    def matches(glob)
      %w[blobs src].map do |side|
        base = File.join(root, side)
        found = Dir.glob(glob, File::FNM_DOTMATCH, base: base).to_h { |f| [f, File.join(base, f)] }
        found.reject { |_, file| File.lstat(file).directory? }
      end.reduce({}, :merge)
    end

    def unmatched = globs.select { |glob| matches(glob).empty? }

    # The CLI's own algorithm (release/resource/fingerprint.go): every file's path, content and executable bit,
    # the packaging script, and the names of the dependencies.
    def fingerprint
      return YAML.load_file(directory('spec.lock')).fetch('fingerprint') if vendored?
      missing = unmatched
      if missing.any?
        raise Failed, "package #{name}: nothing matches #{missing.join(', ')}; `ci/blobs` fetches blobs, `ci/vendor` makes that of the crates"
      end
      entries = files.to_h { |path, file| [path, "#{digest(file)}#{mode(file)}"] }.merge('packaging' => digest(directory('packaging')))
      text = "v2#{entries.sort.join}#{(spec['dependencies'] || []).sort.join(',')}"
      Digest::SHA256.hexdigest(text)
    end

    private

    # A link is packed as a link: what counts is where it points.
    def digest(file)
      "sha256:#{File.symlink?(file) ? Digest::SHA256.hexdigest(File.readlink(file)) : Digest::SHA256.file(file).hexdigest}"
    end

    def mode(file)
      return 'symlink' if File.symlink?(file)
      File.executable?(file) && File.stat(file).mode.anybits?(0o111) ? '100755' : '100644'
    end
  end
end
