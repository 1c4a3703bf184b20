# frozen_string_literal: true

require_relative 'rendering'

RSpec.describe 'properties', type: :rendering do
  jobs = Dir.children(File.join(RELEASE_DIR, 'jobs')).sort
  needed = { 'mariadb' => {}, 'galera-agent' => { 'password' => 'x' }, 'bootstrap' => {},
             'proxy' => { 'stats' => { 'password' => 'x' } }, 'smoke-tests' => { 'password' => 'x' }, 'diagnose' => {}, 'rejoin' => {}, 'arbitrator' => {}, 'report' => {},
             'maintenance' => { 'mode' => 'on', 'reason' => 'r' } }
  tls = { 'replication' => { 'ca' => 'CA', 'certificate' => 'C', 'private_key' => 'K' }, 'server' => { 'ca' => 'CA', 'certificate' => 'C', 'private_key' => 'K' } }
  agent_tls = { 'ca' => 'CA', 'server' => { 'certificate' => 'C', 'private_key' => 'K' }, 'client' => { 'certificate' => 'C', 'private_key' => 'K' } }
  # What else must be set for a property to count.
  context_of = lambda do |job, property|
    next { 'stats' => { 'password' => 'x', 'tls' => { 'certificate' => 'C', 'private_key' => 'K' } } } if property.start_with?('stats.tls.')
    next { 'binlog' => { 'enabled' => true } } if property == 'binlog.expire_days'
    next { 'audit_log' => { 'enabled' => true } } if property.start_with?('audit_log.') && property != 'audit_log.enabled'
    next { 'rejoin' => { 'instance' => 'mysql/1' } } if property == 'rejoin.abandon_position'
    next { 'hooks' => { 'directory' => '/hooks' } } if property == 'hooks.timeout'
    next {} unless property.start_with?('tls.') && property != 'tls.server_name'
    { 'tls' => job == 'mariadb' ? tls : agent_tls }
  end
  values = {
    'gcache_size' => '1G', 'innodb_log_file_size' => '1G',
    'mode' => 'off', 'tls.mode' => 'used',
    'auto_recovery' => 'errand', 'sst_method' => 'rsync', 'innodb_flush_log_at_trx_commit' => 2, 'seeded_databases' => ['shop'], 'provider_options' => { 'gcs.fc_limit' => 5 },
    'hooks.directory' => '/hooks', 'seeded_users' => { 'app' => { 'role' => 'minimal', 'password' => 'x' } }, 'additional_my_cnf' => { 'mysqld' => { 'max_allowed_packet' => 1 } }
  }
  values.update('removed_users' => ['old'], 'audit_log.events' => ['CONNECT'], 'audit_log.excluded_users' => ['bot'])
  times = %w[connect_timeout idle_timeout healthcheck.interval healthcheck.timeout startup_delay drain.delay drain.timeout]
  values.update(times.to_h { |name| [name, '77s'] }, 'inactive_port' => 3307, 'log_level' => 'info', 'peers_from' => ['10.9.0.0/16'])
  # Shared with others by the link; this job itself has no use for them.
  by_link = { 'galera-agent' => %w[tls.server_name] }

  define_method(:merged) { |one, other| one.merge(other) { |_, a, b| a.is_a?(Hash) && b.is_a?(Hash) ? merged(a, b) : b } }

  jobs.each do |job|
    spec = YAML.load_file(File.join(RELEASE_DIR, 'jobs', job, 'spec'))
    spec.fetch('properties').each do |property, definition|
      it "#{property} of #{job} is used" do
        default = definition['default']
        other = values.fetch(property) { [true, false].include?(default) ? !default : default.is_a?(Integer) ? default + 1 : 'other' }
        if by_link.fetch(job, []).include?(property)
          expect(spec['provides'].flat_map { |l| l['properties'] }).to include(property)
          next
        end
        around = merged(needed.fetch(job), context_of.(job, property))
        expect(rendered(job, properties: merged(around, nested(property, other)))).not_to eq(rendered(job, properties: around))
      end
    end
  end

  {
    'max_open_files' => [9, %w[open_files]], 'cluster_name' => ['big', %w[cluster name]], 'port' => [13_306, %w[mariadb port]], 'galera_port' => [14_567, %w[mariadb galera_port]],
    'ask_timeout' => ['1s', %w[timeouts ask]], 'recover_stall_timeout' => ['1h', %w[timeouts recover_stall]], 'restore_timeout' => ['2m', %w[timeouts restore]],
    'stop_timeout' => ['9s', %w[timeouts stop]], 'drain.timeout' => ['1h', %w[timeouts drain]], 'start_timeout' => ['3m', %w[timeouts start]],
    'drain.grace' => ['0s', %w[timeouts leave_grace]], 'drain.patience' => ['1m', %w[timeouts gate]],
    'post_start_timeout' => ['5h', %w[timeouts post_start]], 'post_deploy_timeout' => ['6m', %w[timeouts post_deploy]],
    'join_stall_timeout' => ['4m', %w[timeouts join_stall]], 'auto_recovery' => ['errand', %w[auto_recovery]]
  }.each do |property, (value, path)|
    it "#{property} of mariadb becomes #{path.join('.')} of member.yml (H6)" do
      expect(JSON.parse(render('mariadb', 'config/member.yml', properties: nested(property, value))).dig(*path)).to eq(value)
    end
  end

  { 'ask_timeout' => 'ask', 'stop_timeout' => 'stop', 'start_timeout' => 'start', 'join_stall_timeout' => 'join_stall' }.each do |property, key|
    it "#{property} of bootstrap becomes timeouts.#{key} of galera-bootstrap.yml (H6)" do
      expect(JSON.parse(render('bootstrap', 'config/galera-bootstrap.yml', properties: { property => '77s' })).dig('timeouts', key)).to eq('77s')
    end
  end

  { 'port' => [9201, %w[listen port]], 'username' => ['me', %w[username]], 'password' => ['other', %w[password]], 'previous_password' => ['old', %w[previous_password]], 'available_when_donor' => [false, %w[available_when_donor]],
    'available_when_read_only' => [true, %w[available_when_read_only]] }.each do |property, (value, path)|
    it "#{property} of galera-agent becomes #{path.join('.')} of galera-agent.yml" do
      given = { 'password' => 'x' }.merge(property => value)
      expect(JSON.parse(render('galera-agent', 'config/galera-agent.yml', properties: given)).dig(*path)).to eq(value)
    end
  end

  { ['mariadb', 'config/member.yml'] => '/var/vcap/jobs/galera-agent/config/tls', ['bootstrap', 'config/galera-bootstrap.yml'] => '/var/vcap/jobs/bootstrap/config/tls' }
    .each do |(job, file), directory|
    describe "what #{File.basename(file)} says about agents" do
      define_method(:agents) { |shared| JSON.parse(render(job, file, links: links(agent: shared)))['agents'] }

      it 'comes from the link' do
        expect(agents({ 'port' => 9201, 'username' => 'me', 'password' => Rendering::HOSTILE })).to eq('port' => 9201, 'username' => 'me', 'password' => Rendering::HOSTILE)
        expect(agents({ 'previous_password' => Rendering::HOSTILE })['previous_password']).to eq(Rendering::HOSTILE)
      end

      it 'has TLS where the agents have a CA, and a certificate of its own where there is one' do
        shared = { 'ca' => 'CA', 'server_name' => 'agents.internal' }
        ca = { 'ca' => "#{directory}/ca.pem", 'server_name' => 'agents.internal' }
        expect(agents({ 'tls' => { 'ca' => ' ', 'server_name' => 'x' } })).not_to have_key('tls')
        expect(agents({ 'tls' => shared })['tls']).to eq(ca)
        expect(agents({ 'tls' => shared.merge('client' => { 'certificate' => 'C', 'private_key' => 'K' }) })['tls'])
          .to eq(ca.merge('certificate' => "#{directory}/client.pem", 'private_key' => "#{directory}/client.key"))
      end
    end
  end

  it 'the files of the agents\' TLS hold what the properties do, and nothing where there are none' do
    files = { 'ca.pem' => 'ca', 'client.pem' => 'client.certificate', 'client.key' => 'client.private_key' }
    marked = files.values.map { |path| nested(path, "#{path}\nline") }.reduce { |a, b| merged(a, b) }
    files.each do |file, text|
      expect(render('galera-agent', "config/tls/#{file}", properties: { 'password' => 'x', 'tls' => marked })).to eq("#{text}\nline\n")
      expect(render('bootstrap', "config/tls/#{file}", links: links(agent: { 'tls' => marked }))).to eq("#{text}\nline\n")
      expect(render('bootstrap', "config/tls/#{file}").strip).to eq('')
    end
    %w[certificate private_key].zip(%w[server.pem server.key]).each do |leaf, file|
      expect(render('galera-agent', "config/tls/#{file}", properties: { 'tls' => { 'server' => { leaf => 'text' } } })).to eq("text\n")
    end
  end

  describe 'seeded users' do
    def seed(user) = JSON.parse(render('mariadb', 'config/seed.yml', properties: { 'seeded_users' => { 'app' => user } }))['users']
    def refused(user, *words) = expect { seed(user) }.to(raise_error { |e| expect(e.message).to include('seeded_users.app', *words) })

    it 'may come from anywhere unless a host is given, and have databases for role schema' do
      expect(seed({ 'role' => 'admin', 'password' => 'x' })).to eq([{ 'name' => 'app', 'host' => '%', 'password' => 'x', 'role' => 'admin' }])
      expect(seed({ 'role' => 'schema', 'password' => 'x', 'host' => 'localhost', 'databases' => %w[a b] }))
        .to eq([{ 'name' => 'app', 'host' => 'localhost', 'password' => 'x', 'role' => 'schema', 'databases' => %w[a b] }])
    end

    it 'may have a bound of their own, and be removed; not those that are needed' do
      expect(seed({ 'role' => 'backup', 'password' => 'x', 'max_connections' => 3 }).first).to include('role' => 'backup', 'max_connections' => 3)
      remove = ->(*names) { render('mariadb', 'config/seed.yml', properties: { 'removed_users' => names, 'seeded_users' => { 'app' => { 'role' => 'reader', 'password' => 'x' } } }) }
      expect(JSON.parse(remove.('old', Rendering::HOSTILE))['removed_users']).to eq(['old', Rendering::HOSTILE])
      %w[app root vcap mariadb.sys].each { |name| expect { remove.('old', name) }.to raise_error(/removed_users: "#{name}" is needed, or seeded/) }
    end

    it 'are refused with what is missing, superfluous or not known' do
      refused({ 'role' => 'boss', 'password' => 'x' }, 'role', 'admin, schema, reader, backup or minimal')
      refused({ 'role' => 'reader', 'password' => 'x', 'max_connections' => 'many' }, 'max_connections', 'expected a number')
      refused({ 'role' => 'admin', 'password' => '' }, 'password')
      refused({ 'role' => 'schema', 'password' => 'x' }, 'databases')
      refused({ 'role' => 'admin', 'password' => 'x', 'databases' => ['cf'] }, 'databases')
      refused({ 'role' => 'admin', 'password' => 'x', 'pasword' => 'y' }, 'pasword')
      refused('secret', 'expected role')
    end
  end

  describe 'the agent' do
    def refused(properties, words) = expect { render('galera-agent', 'config/galera-agent.yml', properties: properties) }.to(raise_error(words))

    it 'is never without a password (G15)' do
      refused({}, /password/)
      refused({ 'password' => '' }, /password must not be empty/)
    end

    it 'has TLS with all that it needs, or none' do
      refused({ 'password' => 'x', 'tls' => agent_tls.merge('server' => { 'certificate' => 'C' }) }, /tls.server.private_key/)
      refused({ 'password' => 'x', 'tls' => agent_tls.merge('client' => { 'certificate' => 'C' }) }, /tls.client.private_key/)
      refused({ 'password' => 'x', 'tls' => agent_tls.slice('client') }, /tls.client needs tls.ca and tls.server/)
    end
  end
end
