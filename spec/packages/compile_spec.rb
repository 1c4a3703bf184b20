# frozen_string_literal: true

require 'open3'
require_relative '../../ci/release.d/blobs'
require_relative '../../ci/release.d/compile'

# The packages of this release, compiled as on a compilation VM. The small ones are compiled here if they were not
# before; `ci/test` has fetched what they are made from. The large ones take longer than all other tests together: they
# are looked at where `ci/compile` has made them, and said not to have been built where not.
RSpec.describe 'Package' do
  small = %w[rust-1-linux mariadb-galera socat rsync haproxy]
  large = %w[galera-4 mariadb]

  # Programs and libraries of a compiled package, links and scripts left out.
  def binaries(directory)
    Dir.glob(File.join(directory, '**/*')).select { |f| File.file?(f) && !File.symlink?(f) && File.binread(f, 4) == "\x7FELF".b }
  end

  # Runs a program of a package in the place it is made for.
  def run(directory, name, *command)
    script = <<~'SH'
      mkdir -p /var/vcap
      mount -t tmpfs tmpfs /var/vcap
      mkdir -p "/var/vcap/packages/$2"
      mount --bind "$1" "/var/vcap/packages/$2"
      shift 2
      exec "$@"
    SH
    path = { 'PATH' => '/usr/sbin:/usr/bin:/sbin:/bin' }
    out, status = Open3.capture2e(path, 'unshare', '--mount', 'sh', '-euc', script, 'sh', directory, name, *command)
    expect(status).to be_success, out
    out
  end

  shared_examples 'a compiled package' do |name|
    it 'is stripped, and holds no static library' do
      sections = binaries(directory).to_h { |f| [f.delete_prefix(directory), Open3.capture2('readelf', '--wide', '--sections', f).first] }
      expect(sections).not_to be_empty
      expect(sections.select { |_, s| s.match?(/ \.(?:symtab|debug_info)\b/) }.keys).to eq([])
      expect(Dir.glob(File.join(directory, '**/*.{a,la,o}'))).to eq([])
    end unless name == 'rust-1-linux'

    it 'needs nothing of the place where it was compiled' do
      binaries(directory).each do |file|
        dynamic = Open3.capture2('readelf', '--dynamic', file).first
        expect(dynamic.scan(/R(?:UN)?PATH.*\[(.*)\]/).flatten.grep_v(/\A\$ORIGIN/)).to eq([]), file
      end
    end
  end

  (small + large).each do |name|
    describe name do
      before(:all) do
        step = Release::Compile.new(Release::Package.new(name), progress: ->(line) { RSpec.configuration.reporter.message("  #{line}") })
        globs = [step.package, *step.package.dependencies].flat_map(&:globs)
        missing = Release::Blob.all.select { |blob| globs.any? { |g| File.fnmatch?(g, blob.path, File::FNM_PATHNAME) } && blob.wrong }
        if missing.any?
          skip "NOT BUILT HERE: package #{name} could not be compiled without #{missing.map(&:path).join(', ')}; `ci/blobs #{name}` fetches that"
        elsif large.include?(name) && !step.compiled?
          skip "NOT BUILT HERE: package #{name} was not compiled on this machine from what is there now, so this run says nothing " \
               "about it; `ci/compile #{name}` compiles it"
        end
        @directory = step.call
      end

      let(:directory) { @directory }

      include_examples 'a compiled package', name

      case name
      when 'rust-1-linux'
        it 'is what bosh-package-rust-release has: bin, and bosh/compile.env that puts it into the PATH' do
          script = "source /var/vcap/packages/#{name}/bosh/compile.env; cargo --version; rustc --version; echo $CARGO_HOME"
          expect(run(directory, name, 'bash', '-euc', script)).to match(
            %r{\Acargo (\d\S+) .*\nrustc \1 .*\n/var/vcap/packages/rust-1-linux/.cargo\n\z})
          expect(File).to exist(File.join(directory, 'bosh/runtime.env'))
        end
      when 'mariadb-galera'
        it 'has the executables of Cargo.toml, each of which runs, and nothing else' do
          bins = File.read(File.join(RELEASE_DIR, 'src/Cargo.toml')).scan(/^\[\[bin\]\]\nname = "([\w-]+)"/).flatten
          expect(Dir.glob('**/*', base: directory)).to match_array(['bin', *bins.map { |b| "bin/#{b}" }])
          bins.each { |b| expect(run(directory, name, "/var/vcap/packages/#{name}/bin/#{b}", '--help')).to include('Usage') }
        end
      when 'socat'
        it 'speaks TLS, for transfers between members' do
          expect(run(directory, name, "/var/vcap/packages/#{name}/bin/socat", '-V')).to include('define WITH_OPENSSL 1', 'socat version 1.8')
        end
      when 'rsync'
        it 'is a version without the daemon flaws of January 2025' do
          version = run(directory, name, "/var/vcap/packages/#{name}/bin/rsync", '--version')[/version (\d+\.\d+\.\d+)/, 1]
          expect(Gem::Version.new(version)).to be >= Gem::Version.new('3.4.0')
        end
      when 'haproxy'
        it 'has OpenSSL, for health checks of agents with TLS, and the exporter of metrics' do
          said = run(directory, name, "/var/vcap/packages/#{name}/bin/haproxy", '-vv')
          expect(said).to match(/Built with OpenSSL version/).and match(/Built with the Prometheus exporter/)
        end
      when 'galera-4'
        it 'has the library and garbd, of the version of its archive' do
          # Galera itself leaves out the 26, which is the version of its interface.
          version = Release::Blob.upstream.find { |path, _| path.start_with?('galera-4/galera') }.last['version'].delete_prefix('26.')
          expect(run(directory, name, "/var/vcap/packages/#{name}/bin/garbd", '--version')).to include(" #{version}")
          expect(File.binread(File.join(directory, 'lib/libgalera_smm.so'))).to include("#{version}(r")
        end
      when 'mariadb'
        it 'has server, backup and transfer scripts, of the version of its archive, with Galera and native I/O' do
          version = Release::Blob.upstream.find { |path, _| path.start_with?('mariadb/mariadb') }.last['version']
          said = %w[mariadbd mariadb mariadb-backup].map { |b| run(directory, name, "/var/vcap/packages/#{name}/bin/#{b}", '--version') }
          expect(said).to all(include(version))
          options = run(directory, name, "/var/vcap/packages/#{name}/bin/mariadbd", '--no-defaults', '--user=root', '--verbose', '--help')
          expect(options).to include('--wsrep-provider=').and match(/^innodb-use-native-aio\s+TRUE$/)
        end

        it 'makes a data directory' do
          Dir.mktmpdir do |dir|
            run(directory, name, "/var/vcap/packages/#{name}/bin/mariadb-install-db", '--no-defaults', "--basedir=/var/vcap/packages/#{name}",
                "--datadir=#{dir}/data", '--user=root', '--auth-root-authentication-method=socket', '--skip-test-db')
            expect(Dir.children(File.join(dir, 'data'))).to include('ibdata1', 'mysql')
          end
        end
      end
    end
  end
end
