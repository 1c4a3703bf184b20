# frozen_string_literal: true

require 'fileutils'
require 'open3'
require_relative 'package'

module Release
  # One archive in `blobs/`: what config/blobs.yml says of it, and where config/upstream.yml says that it can be had.
  class Blob
    INDEX = 'config/blobs.yml'
    UPSTREAM = 'config/upstream.yml'

    def self.index(root = ROOT) = YAML.load_file(File.join(root, INDEX)) || {}
    def self.upstream(root = ROOT) = YAML.load_file(File.join(root, UPSTREAM))
    def self.all(root = ROOT) = index(root).map { |path, said| new(path, said, root) }

    # The archives of Debian's packages, as this machine's apt has them.
    def self.archives
      @archives ||= Open3.capture2('apt-get', 'indextargets', '--format', '$(REPO_URI)', 'Created-By: Packages').first.lines.map(&:chomp).uniq
    end

    # As `bosh add-blob` writes it: sorted, without the object's id, which `bosh upload-blobs` adds.
    def self.record(path, root = ROOT)
      file = File.join(root, 'blobs', path)
      entry = { 'size' => File.size(file), 'sha' => "sha256:#{Digest::SHA256.file(file).hexdigest}" }
      stated = index(root)
      return false if stated[path] && stated[path].slice('size', 'sha') == entry
      File.write(File.join(root, INDEX), stated.merge(path => entry).sort.to_h.to_yaml(line_width: -1).delete_prefix("---\n"))
      true
    end

    attr_reader :path

    def initialize(path, said, root = ROOT)
      @path, @said, @root = path, said, root
    end

    def file = File.join(@root, 'blobs', path)

    def addresses
      from = Blob.upstream(@root).fetch(path, {}).fetch('from', [])
      from.flat_map { |place| place.start_with?('debian:') ? Blob.archives.map { |at| at + place.delete_prefix('debian:') } : place }
    end

    # Why the file is not the one that is meant; nil if it is.
    def wrong(file = self.file)
      return 'is not there' unless File.exist?(file)
      return "has #{File.size(file)} bytes, not #{@said['size']}" unless File.size(file) == @said['size']
      found = "sha256:#{Digest::SHA256.file(file).hexdigest}"
      "has #{found}, not #{@said['sha']}" unless found == @said['sha']
    end

    # Tries one address after the other. The file is in its place only when it is the right one.
    def fetch(progress: ->(line) { warn line })
      return unless wrong
      FileUtils.mkdir_p(File.dirname(file))
      part = "#{file}.part"
      failures = addresses.filter_map do |address|
        failure = download(address, part) || wrong(part)&.then { |why| "what came #{why}" }
        unless failure
          File.rename(part, file)
          progress.call("#{path} from #{address}")
          return
        end
        "  #{address}: #{failure}"
      end
      raise Failed, refusal(failures)
    ensure
      FileUtils.rm_f(part) if part
    end

    private

    def download(address, part)
      _, errors, status = Open3.capture3('curl', '--fail', '--silent', '--show-error', '--location', '--connect-timeout', '20',
                                         '--speed-limit', '1000', '--speed-time', '60', '--output', part, address)
      errors.strip.sub(/\Acurl: /, '') unless status.success?
    end

    def refusal(failures)
      return "#{path} has no address in #{UPSTREAM}: add one, or put the file into blobs/ by hand" if failures.empty?
      "#{path} could not be had:\n#{failures.join("\n")}\n  Put a file of #{@said['size']} bytes with #{@said['sha']} at blobs/#{path}, " \
        "or add an address to #{UPSTREAM}."
    end
  end
end
