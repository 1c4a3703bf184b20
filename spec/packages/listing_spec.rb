# frozen_string_literal: true

require_relative '../../ci/release.d/crates'

# What the packages declare, compared with what compiling needs. No blob has to be there: config/blobs.yml says which
# there are.
RSpec.describe 'The packages' do
  packages = Release::Package.all.reject(&:vendored?)
  index = Release::Blob.index
  upstream = Release::Blob.upstream

  define_method(:packages) { packages }
  define_method(:index) { index }

  # Files of src and stated blobs that a glob takes in.
  def taken(glob)
    blobs = index.keys.select { |path| File.fnmatch?(glob, path, File::FNM_PATHNAME | File::FNM_DOTMATCH) }
    blobs + Dir.glob(glob, File::FNM_DOTMATCH, base: File.join(RELEASE_DIR, 'src'))
  end

  # Words of a script that name files of the package, braces expanded: 'socat/socat-*.tar.bz2'
  def used(package)
    folders = package.globs.filter_map { |g| g[%r{\A[\w-]+/}] }.uniq
    script = package.packaging.lines.grep_v(/^\s*#/).join
    script.scan(/(?<![\w\/"}.-])(?:#{folders.map { |f| Regexp.escape(f) }.join('|')})[^\s"';]+/).flat_map do |word|
      alternatives = word[/\{([^}]+)\}/, 1] or next [word]
      alternatives.split(',').map { |one| word.sub(/\{[^}]+\}/, one) }
    end
  end

  packages.each do |package|
    describe package.name do
      it 'has a spec of its own name and a packaging script' do
        expect(package.spec['name']).to eq(package.name)
        expect(package.packaging).to start_with("set -eu\n")
      end

      it 'has no glob that takes in nothing: the CLI would refuse to build' do
        expect(package.globs.select { |glob| taken(glob).empty? }).to eq([])
      end

      it 'declares every file that its packaging script uses, and uses every archive that it declares' do
        words = used(package)
        declared = package.globs.flat_map { |glob| taken(glob) }
        expect(words).not_to be_empty
        expect(words.reject { |word| declared.any? { |file| File.fnmatch?(word, file, File::FNM_PATHNAME) } }).to eq([])
        archives = declared & index.keys
        expect(archives.reject { |file| words.any? { |word| File.fnmatch?(word, file, File::FNM_PATHNAME) } }).to eq([])
      end

      it 'takes in one version of each archive' do
        expect(package.globs.grep(/\*.*\.tar/).to_h { |glob| [glob, taken(glob).size] }.values).to all(eq(1))
      end

      it 'depends on the packages that its packaging script names, and on no other' do
        named = package.packaging.scan(%r{/var/vcap/packages/([\w-]+)}).flatten.uniq
        expect(named).to match_array(package.spec.fetch('dependencies', []))
        expect(package.dependencies.map(&:name) - Release::Package.all.map(&:name)).to eq([])
      end

      it 'reaches for nothing outside: no network, no place of a machine' do
        expect(package.packaging).not_to match(%r{https?://|\b(?:curl|wget|git|apt(?:-get)?|rustup)\s|/usr/local|\$HOME|/root})
      end
    end
  end

  it 'are each used by a job, or to compile another' do
    jobs = Dir[File.join(RELEASE_DIR, 'jobs/*/spec')].flat_map { |file| YAML.load_file(file)['packages'] || [] }
    needed = jobs + packages.flat_map { |p| p.spec.fetch('dependencies', []) }
    # The job that runs haproxy is `proxy`.
    expect(Release::Package.all.map(&:name) - needed - ['haproxy']).to eq([])
    expect(jobs - Release::Package.all.map(&:name)).to eq([])
  end

  describe 'config/blobs.yml' do
    it 'states size and SHA-256 of every archive, in the order of `bosh add-blob`' do
      expect(index.keys).to eq(index.keys.sort)
      expect(index.values).to all(match(a_hash_including('size' => be > 10_000, 'sha' => match(/\Asha256:\h{64}\z/))))
    end

    it 'states no archive that no package takes in' do
      expect(index.keys - packages.flat_map { |p| p.globs.flat_map { |g| taken(g) } }).to eq([])
    end

    it 'has an address, a version and a licence for each in config/upstream.yml' do
      expect(upstream.keys).to eq(index.keys - [Release::Crates::BLOB])
      upstream.each do |path, said|
        expect(path).to include(said['version'])
        expect(said).to include('name' => be_a(String), 'licence' => match(/\A[A-Z]/), 'shipped' => be(true).or(be(false)))
        expect(said['from']).to all(match(%r{\Ahttps?://|\Adebian:pool/}))
      end
    end
  end
end
