# frozen_string_literal: true

require_relative 'rendering'

RSpec.describe 'job mariadb: my.cnf', type: :rendering do
  def my_cnf(properties = {}, **options) = render('mariadb', 'config/my.cnf', properties: properties, **options)
  def mysqld(properties = {}, **options) = read_by_mariadb(my_cnf(properties, **options))
  def provider(properties = {}) = mysqld(properties).fetch('wsrep_provider_options').split(';').to_h { |o| o.split('=', 2) }
  def refuse(properties, *words) = expect { my_cnf(properties) }.to(raise_error { |e| expect(e.message).to include(*words) })
  def among(members) = links.merge('mariadb' => mariadb_link.merge('instances' => members))

  pem = '/var/vcap/jobs/mariadb/config/tls'
  tls = { 'replication' => { 'ca' => 'CA', 'certificate' => 'C', 'private_key' => 'K' }, 'server' => { 'ca' => 'CA', 'certificate' => 'C', 'private_key' => 'K' } }
  sst_files = { 'ssl-mode' => 'VERIFY_CA', 'tca' => "#{pem}/replication-ca.pem", 'tcert' => "#{pem}/replication.pem", 'tkey' => "#{pem}/replication.key" }

  it 'is as reviewed for a single node, with TLS, and with TLS and rsync' do
    expect_golden(my_cnf(links: links(count: 1), index: 0), 'my-single-node.cnf')
    expect_golden(my_cnf({ 'tls' => tls }), 'my-tls.cnf')
    expect_golden(my_cnf({ 'tls' => tls, 'sst_method' => 'rsync' }), 'my-tls-rsync.cnf')
  end

  describe 'each property' do
    {
      'port' => [13_306, 'port' => '13306', 'wsrep_node_incoming_address' => '10.0.0.5:13306'],
      'galera_port' => [14_567, 'wsrep_node_address' => '10.0.0.5:14567', 'wsrep_cluster_address' => 'gcomm://10.0.0.4:14567,10.0.0.5:14567,10.0.0.6:14567'],
      'cluster_name' => ['big', 'wsrep_cluster_name' => 'big'],
      'applier_threads' => [16, 'wsrep_slave_threads' => '16'],
      'sst_method' => ['rsync', 'wsrep_sst_method' => 'rsync', 'wsrep_sst_auth' => nil],
      'innodb_buffer_pool_size' => ['48G', 'innodb_buffer_pool_size' => '48G'],
      'innodb_log_file_size' => ['2G', 'innodb_log_file_size' => '2G'],
      'innodb_flush_log_at_trx_commit' => [2, 'innodb_flush_log_at_trx_commit' => '2'],
      'max_connections' => [2000, 'max_connections' => '2000'],
      'max_open_files' => [100_000, 'open_files_limit' => '100000'],
      'character_set_server' => ['latin1', 'character_set_server' => 'latin1'],
      'collation_server' => ['latin1_swedish_ci', 'collation_server' => 'latin1_swedish_ci'],
      'binlog.enabled' => [true, 'log_bin' => 'mysql-bin', 'log_slave_updates' => 'ON', 'sync_binlog' => '1', 'expire_logs_days' => '7'],
      'max_allowed_packet' => ['1G', 'max_allowed_packet' => '1G'],
      'wait_timeout' => [600, 'wait_timeout' => '600'],
      'local_infile' => [false, 'local_infile' => 'OFF'],
      'event_scheduler' => [true, 'event_scheduler' => 'ON'],
      'audit_log.enabled' => [true, 'server_audit_logging' => 'ON', 'server_audit_events' => 'QUERY_DDL,QUERY_DCL', 'server_audit_excl_users' => 'vcap',
                              'server_audit_file_rotate_size' => '100000000', 'server_audit_file_rotations' => '30'],
      'slow_query_log.enabled' => [false, 'slow_query_log' => 'OFF'],
      'slow_query_log.seconds' => [0.5, 'long_query_time' => '0.5'],
      'additional_my_cnf' => [{ 'mysqld' => { 'max_connections' => 7 } }, 'max_connections' => '7']
    }.each do |property, (value, expected)|
      it "#{property} = #{value.inspect} becomes #{expected.map { |k, v| "#{k}=#{v}" }.join(', ')}" do
        defaults = mysqld
        expect(mysqld(nested(property, value)).values_at(*expected.keys)).to eq(expected.values)
        expect(expected.keys.select { |name| defaults[name] == expected[name] }).to eq([])
      end
    end

    it 'binlog.expire_days counts where there is a binary log' do
      expect(mysqld({ 'binlog' => { 'enabled' => true, 'expire_days' => 3 } })['expire_logs_days']).to eq('3')
      expect(mysqld({ 'binlog' => { 'expire_days' => 3 } })).not_to include('expire_logs_days', 'log_bin')
    end

    it 'audit_log.* count where there is an audit log, and refuse what its lists cannot hold' do
      audit = { 'enabled' => true, 'events' => %w[CONNECT QUERY_DML_NO_SELECT], 'excluded_users' => %w[bot é], 'rotate_size' => 5, 'rotations' => 2 }
      expect(mysqld({ 'audit_log' => audit })).to include('server_audit_events' => 'CONNECT,QUERY_DML_NO_SELECT', 'server_audit_excl_users' => 'vcap,bot,é',
                                                          'server_audit_file_rotate_size' => '5', 'server_audit_file_rotations' => '2')
      [['a,b'], ['a b'], ["a\nb"], ["it's"]].each { |users| refuse({ 'audit_log' => audit.merge('excluded_users' => users) }, 'audit_log.excluded_users') }
      refuse({ 'audit_log' => audit.merge('events' => ['EVERYTHING']) }, 'audit_log.events', 'EVERYTHING')
    end

    it 'gcache_size, galera_port and provider_options reach the provider' do
      expect(provider({ 'gcache_size' => '4G', 'galera_port' => 14_567, 'provider_options' => { 'gcs.fc_limit' => 128 } }))
        .to include('gcache.size' => '4G', 'gmcast.listen_addr' => 'tcp://0.0.0.0:14567', 'gcs.fc_limit' => '128')
    end

    it 'tls.server.* give clients TLS, and tls.required makes them use it' do
      expect(mysqld).not_to include('ssl_ca', 'ssl_cert', 'ssl_key', 'require_secure_transport')
      expect(mysqld({ 'tls' => tls })).to include('ssl_ca' => "#{pem}/server-ca.pem", 'ssl_cert' => "#{pem}/server.pem", 'ssl_key' => "#{pem}/server.key",
                                                  'require_secure_transport' => 'OFF')
      expect(mysqld({ 'tls' => tls.merge('required' => true) })['require_secure_transport']).to eq('ON')
    end

    it 'tls.replication.* give TLS to replication and to state transfers' do
      expect(provider.keys.grep(/ssl/)).to eq([])
      # D1: donor and joiner must agree, and one of them is not updated yet.
      while_switching = my_cnf({ 'tls' => tls, 'provider_options' => { 'socket.dynamic' => true } })
      expect(while_switching[/^\[sst\].*/m]).to include('ssl-mode = DISABLED')
      expect(my_cnf({ 'tls' => tls })[/^\[sst\].*/m]).to include('ssl-mode = VERIFY_CA')
      expect(provider({ 'tls' => tls })).to include('socket.ssl' => 'yes', 'socket.ssl_ca' => "#{pem}/replication-ca.pem", 'socket.ssl_cert' => "#{pem}/replication.pem",
                                                    'socket.ssl_key' => "#{pem}/replication.key")
      expect(read_by_mariadb(my_cnf({ 'tls' => tls }), 'sst')).to eq(sst_files.merge('encrypt' => '3'))
      expect(read_by_mariadb(my_cnf({ 'tls' => tls, 'sst_method' => 'rsync' }), 'sst')).to eq(sst_files)
    end

    it 'TLS for clients alone leaves state transfers as replication is' do
      expect(read_by_mariadb(my_cnf({ 'tls' => tls.slice('server') }), 'sst')).to eq('ssl-mode' => 'DISABLED')
    end

    it 'the files of TLS hold what the properties do, and nothing where there are none' do
      marked = tls.to_h { |kind, files| [kind, files.to_h { |leaf, _| [leaf, "#{kind} #{leaf}\nline"] }] }
      { 'replication-ca.pem' => 'replication ca', 'replication.pem' => 'replication certificate', 'replication.key' => 'replication private_key',
        'server-ca.pem' => 'server ca', 'server.pem' => 'server certificate', 'server.key' => 'server private_key' }.each do |file, text|
        expect(render('mariadb', "config/tls/#{file}", properties: { 'tls' => marked })).to eq("#{text}\nline\n")
        expect(render('mariadb', "config/tls/#{file}").strip).to eq('')
      end
    end
  end

  describe 'members' do
    it 'know themselves by instance id, not by address or index' do
      twins = members.map { |m| m.merge('address' => '10.0.0.9') }
      expect(mysqld(links: among(twins), index: 2)).to include('wsrep_node_name' => 'mysql/2', 'wsrep_node_address' => '10.0.0.9:4567')
      elsewhere = members.each { |m| m['index'] += 7 }
      expect(mysqld(links: among(elsewhere), index: 2)['wsrep_node_name']).to eq('mysql/9')
    end

    it 'that the link does not list are an error, which names them' do
      expect { my_cnf(index: 3) }.to raise_error(/instance id-3 is not in the link mariadb/)
      expect { render('mariadb', 'config/member.yml', index: 3) }.to raise_error(/instance id-3 is not in the link mariadb/)
      expect { my_cnf(links: links.except('mariadb')) }.to raise_error(JobTemplates::MissingLink, /mariadb/)
    end

    it 'have the addresses of all the others, so that one which was cut off finds them again (Q2)' do
      (0..4).each { |i| expect(mysqld(links: links(count: 5), index: i)['wsrep_cluster_address'].scan(/10\.0\.0\.\d+:4567/).size).to eq(5) }
    end

    it 'never begin a new cluster because of a file (G1, Q17)' do
      [my_cnf(index: 0), my_cnf(links: links(count: 1), index: 0)].each do |text|
        expect(text).not_to match(/new.cluster/)
        expect(text).not_to match(%r{gcomm://\s*$})
      end
    end
  end

  it 'says what member.yml says' do
    member = JSON.parse(render('mariadb', 'config/member.yml'))
    expect(mysqld).to include('log_error' => member['mariadb']['error_log'], 'socket' => member['mariadb']['socket'], 'datadir' => member['mariadb']['data_dir'],
                              'tmpdir' => member['paths']['tmp_dir'], 'secure_file_priv' => member['paths']['tmp_dir'], 'pid_file' => "#{member['paths']['run_dir']}/mariadbd.pid",
                              'wsrep_sst_auth' => "#{member['mariadb']['admin_user']}:", 'wsrep_node_name' => member['instance'])
    expect(mysqld).not_to include('user')
    expect(read_by_mariadb(my_cnf, 'client')).to eq('port' => '3306', 'socket' => member['mariadb']['socket'])
  end

  it 'holds no secret' do
    secret = { 'seeded_users' => { 'app' => { 'role' => 'admin', 'password' => 'top-secret' } }, 'tls' => tls.transform_values { |f| f.merge('private_key' => 'top-secret') } }
    expect(my_cnf(secret, links: links(agent: { 'password' => 'top-secret' }))).not_to include('top-secret')
  end

  describe 'hostile values' do
    it 'reach MariaDB as they are' do
      ['', ' ', '#', '"', "'", '\\', 'a\\nb', '\\"', '[mysqld]', '!include /etc/passwd', "it's", Rendering::HOSTILE].each do |text|
        settings = mysqld({ 'cluster_name' => text, 'additional_my_cnf' => { 'mysqld' => { 'init_connect' => text } } })
        expect(settings.values_at('wsrep_cluster_name', 'init_connect')).to eq([text, text])
      end
    end

    %w[cluster_name port galera_port applier_threads innodb_buffer_pool_size innodb_log_file_size innodb_flush_log_at_trx_commit max_connections max_open_files
       max_allowed_packet wait_timeout local_infile event_scheduler audit_log.enabled character_set_server collation_server sst_method slow_query_log.seconds slow_query_log.enabled binlog.enabled].each do |property|
      it("are refused for #{property} where they hold a line break") { ["1\nx", "1\rx", "1\0"].each { |v| refuse(nested(property, v), property) } }
    end

    it 'are refused for further options where they hold a line break' do
      refuse({ 'binlog' => { 'enabled' => true, 'expire_days' => "1\n2" } }, 'binlog.expire_days')
      refuse({ 'additional_my_cnf' => { 'mysqld' => 'a = 1' } }, 'additional_my_cnf.mysqld', 'expected options')
    end

    it 'cannot bring in an option of the provider by another one' do
      refuse({ 'gcache_size' => '1G; pc.ignore_sb=true' }, 'gcache.size', ';')
      refuse({ 'gcache_size' => "1G\nx" }, 'gcache.size', 'line break')
      refuse({ 'provider_options' => { ' pc.ignore_sb' => true } }, 'no option of Galera')
      refuse({ 'provider_options' => { "gcs.fc_limit\n" => 1 } }, 'no option of Galera')
    end
  end

  describe 'what would make two clusters of one, or undo our decisions' do
    { 'pc.ignore_sb' => true, 'pc.ignore_quorum' => true, 'pc.bootstrap' => true, 'pc.recovery' => false, 'pc.npvo' => true, 'pc.wait_prim' => false,
      'pc.weight' => 3 }.each do |name, value|
      it("provider option #{name} is refused (H11, H12)") { refuse({ 'provider_options' => { name => value } }, 'provider_options', name) }
    end

    it 'options of the provider that are properties are refused, with the name of the property' do
      refuse({ 'provider_options' => { 'gcache.size' => '1G' } }, 'gcache_size')
      refuse({ 'provider_options' => { 'gmcast.listen_addr' => 'tcp://127.0.0.1:1' } }, 'galera_port')
    end

    %w[wsrep_provider_options wsrep-provider-options WSREP_Provider_Options loose_wsrep-new-cluster wsrep_provider_opt wsrep_cluster_address wsrep_dirty_reads
       datadir datad skip-log-error log-warnings].each do |name|
      it "#{name} is refused in every section that the server reads (H11, G1)" do
        %w[mysqld mariadb mariadbd server galera client-server mysqld-10.11 mariadb-10.11].each do |section|
          refuse({ 'additional_my_cnf' => { section => { name => 1 } } }, "additional_my_cnf.#{section}.#{name}")
        end
      end
    end

    it 'clients may have options of these names' do
      expect(read_by_mariadb(my_cnf({ 'additional_my_cnf' => { 'mysqldump' => { 'user' => 'me' } } }), 'mysqldump')).to eq('user' => 'me')
    end
  end

  %w[ca certificate private_key].each do |leaf|
    it "TLS without #{leaf} is refused; an empty text counts as nothing" do
      tls.each do |kind, files|
        refuse({ 'tls' => { kind => files.except(leaf) } }, "tls.#{kind}", "missing: #{leaf}")
        refuse({ 'tls' => { kind => files.merge(leaf => " \n") } }, "tls.#{kind}", "missing: #{leaf}")
      end
      expect(my_cnf({ 'tls' => { 'server' => { leaf => '' }, 'replication' => { leaf => '' } } })).to eq(my_cnf)
    end
  end

  it 'a value that is none of those possible is refused' do
    refuse({ 'innodb_flush_log_at_trx_commit' => 3 }, 'innodb_flush_log_at_trx_commit', '0 or 1 or 2')
    refuse({ 'binlog' => { 'enabled' => 'no' } }, 'binlog.enabled', 'true or false')
  end
end
