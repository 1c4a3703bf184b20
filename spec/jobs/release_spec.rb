# frozen_string_literal: true

require_relative 'rendering'

RSpec.describe 'The release', type: :rendering do
  jobs = Dir.children(File.join(RELEASE_DIR, 'jobs')).sort.to_h { |name| [name, YAML.load_file(File.join(RELEASE_DIR, 'jobs', name, 'spec'))] }
  pem = { 'ca' => 'CA', 'certificate' => 'C', 'private_key' => 'K' }
  everything = { 'mariadb' => { 'tls' => { 'replication' => pem, 'server' => pem } },
                 'galera-agent' => { 'password' => 'x', 'tls' => { 'ca' => 'CA', 'server' => pem.except('ca'), 'client' => pem.except('ca') } }, 'bootstrap' => {},
                 'proxy' => { 'stats' => { 'password' => 'x', 'tls' => pem.except('ca') }, 'inactive_port' => 3307 }, 'smoke-tests' => { 'password' => 'x' }, 'diagnose' => {}, 'rejoin' => {}, 'arbitrator' => {}, 'maintenance' => {}, 'report' => {} }

  define_method(:jobs) { jobs }
  define_method(:files_of) { |name| rendered(name, properties: everything.fetch(name)) }
  def read(*path) = File.read(File.join(RELEASE_DIR, *path))
  def packages = Dir.children(File.join(RELEASE_DIR, 'packages'))

  jobs.each do |job, spec|
    describe "job #{job}" do
      let(:directory) { File.join(RELEASE_DIR, 'jobs', job) }
      let(:templates) { Dir.glob('**/*', File::FNM_DOTMATCH, base: File.join(directory, 'templates')).select { |f| File.file?(File.join(directory, 'templates', f)) } }

      it 'lists in its spec the templates that exist, each under its own path' do
        expect(spec['templates'].keys).to match_array(templates)
        expect(spec['templates']).to all(satisfy { |source, target| source.delete_suffix('.erb') == target })
      end

      it 'is named after its directory, and so are the links that it provides' do
        expect(spec['name']).to eq(job)
        expect((spec['provides'] || []).map { |l| l['name'] }).to all(eq(job))
      end

      it 'shares only properties that it has' do
        shared = (spec['provides'] || []).flat_map { |l| l['properties'] }
        expect(shared - (spec['properties'] || {}).keys).to eq([])
      end

      it 'uses packages of this release' do
        expect(spec['packages'] - packages).to eq([])
      end

      it 'describes every property, in lines of at most 80 columns' do
        expect(spec['properties'].select { |_, d| d['description'].to_s.strip.empty? }.keys).to eq([])
        expect(read('jobs', job, 'spec').lines.map(&:chomp).select { |l| l.size > 80 }).to eq([])
      end

      it 'keeps ERB out of its scripts, which shellcheck accepts' do
        scripts = templates.grep(%r{\Abin/}).map { |f| File.join(directory, 'templates', f) }
        expect(scripts.select { |f| File.read(f).include?('<%') }).to eq([])
        output, status = Open3.capture2e('shellcheck', *scripts)
        expect(status).to be_success, output
      end

      it 'has scripts that only become an executable of this release' do
        templates.grep(%r{\Abin/}).each do |file|
          lines = read('jobs', job, 'templates', file).lines
          expect(lines.size).to be <= 10
          expect(lines.last).to match(%r{\Aexec /var/vcap/packages/mariadb-galera/bin/galera-[a-z]+ --config /var/vcap/jobs/\S+\.yml})
          config = lines.last[%r{--config /var/vcap/jobs/(\S+)}, 1]
          owner, path = config.split('/', 2)
          expect(jobs.fetch(owner)['templates'].values).to include(path)
        end
      end

      it 'renders nothing but templates: no ERB is left in any file' do
        files_of(job).each { |file, text| expect(text).not_to include('<%'), file }
      end
    end
  end

  describe 'monit' do
    { 'mariadb' => 'galera-start', 'galera-agent' => 'galera-agent', 'proxy' => 'galera-proxy',
      'arbitrator' => 'galera-arbitrator' }.each do |job, program|
      it "watches the pid file of #{program} in group vcap" do
        monit = render(job, 'monit')
        expect(monit).to include("check process #{job}\n", "with pidfile /var/vcap/sys/run/#{job}/#{program}.pid", 'group vcap')
        expect(monit).to include("start program \"/var/vcap/jobs/#{job}/bin/start\" with timeout 30 seconds")
        expect(monit.scan('check process').size).to eq(1)
      end

      it "D5: tells #{program} where its log is, for what fails before that is open, since monit hides what is said" do
        log = "--log /var/vcap/sys/log/#{job}/#{program}.log"
        expect(files_of(job).slice('bin/start', 'bin/stop').values).to all(include(log))
      end

      it "does not judge #{job} by a port or by load, so that a slow answer restarts nothing (H6, Q21)" do
        expect(render(job, 'monit')).not_to match(/\bif\b/)
      end
    end

    it 'waits longer for a stop than mariadbd may take, and less than BOSH waits (K9)' do
      limit = render('mariadb', 'monit')[/stop program \S+ with timeout (\d+) seconds/, 1].to_i
      mariadbd = jobs['mariadb']['properties']['stop_timeout']['default'][/\A(\d+)s\z/, 1].to_i
      expect(limit).to be > mariadbd + 20
      expect(limit).to be < 300
    end

    it 'has no service for errands' do
      expect(%w[bootstrap diagnose maintenance rejoin smoke-tests].map { |job| render(job, 'monit') }).to all(eq(''))
    end

    it 'restarts the agent without touching mariadbd (H17)' do
      expect(files_of('galera-agent').slice('monit', 'bin/start', 'bin/stop').values.join).not_to match(/galera-start|mariadbd/)
    end
  end

  describe 'packages' do
    it 'take in everything that Cargo builds from' do
      globs = YAML.load_file(File.join(RELEASE_DIR, 'packages/mariadb-galera/spec'))['files'].reject { |g| g.end_with?('.tar') }
      packed = globs.flat_map { |g| Dir.glob(g, base: File.join(RELEASE_DIR, 'src')) }.uniq
      there = Dir.glob('**/*', base: File.join(RELEASE_DIR, 'src')).select { |f| File.file?(File.join(RELEASE_DIR, 'src', f)) }
      # What only tests read stays out; the toolchain is a package of its own.
      expect(there.reject { |f| f.end_with?('.md') || f.include?('/fixtures/') || f.start_with?('rust-1-linux/') } - packed).to eq([])
      expect(packed.select { |f| File.symlink?(File.join(RELEASE_DIR, 'src', f)) }).to eq([])
    end

    it 'contain every program that a script or a configuration names' do
      bins = read('src/Cargo.toml').scan(/^name = "(galera-[a-z]+)"/).flatten
      named = jobs.keys.flat_map { |job| files_of(job).values.join.scan(%r{/var/vcap/packages/mariadb-galera/bin/([\w-]+)}).flatten }
      expect(named.uniq - bins).to eq([])
      packaging = read('packages/mariadb/packaging')
      member = JSON.parse(files_of('mariadb')['config/member.yml'])
      expect(member['mariadb'].values_at('program', 'install_program').map { |f| File.basename(f) }).to all(satisfy { |f| packaging.include?(f) })
      expect(files_of('mariadb')['config/my.cnf']).to include('wsrep_provider = /var/vcap/packages/galera-4/lib/libgalera_smm.so')
      expect(read('packages/galera-4/packaging')).to include('"$BOSH_INSTALL_TARGET/lib/libgalera_smm.so"')
    end

    it 'bring what state transfers call by name, where mariadbd looks for it' do
      directories = read('jobs/mariadb/templates/bin/start')[/PATH=(\S+):"\$PATH"/, 1].split(':')
      expect(directories).to eq(%w[/var/vcap/packages/socat/bin /var/vcap/packages/rsync/bin])
      %w[socat rsync].each { |name| expect(read('packages', name, 'packaging')).to include(%("$BOSH_INSTALL_TARGET/bin/#{name}")) }
    end
  end

  it 'is released under the Apache License 2.0, and has a name' do
    expect(read('LICENSE').lines.first(3).join).to match(/Apache License\s+Version 2\.0/)
    expect(YAML.load_file(File.join(RELEASE_DIR, 'config/final.yml'))['name']).to eq('mariadb-galera')
    expect(YAML.load_file(File.join(RELEASE_DIR, 'config/blobs.yml'))).to be_a(Hash)
  end
end
