# frozen_string_literal: true

require_relative 'support'

RSpec.describe 'job mariadb: my.cnf' do
  # As MariaDB reads it: { option => last value } of this section.
  def options(text, section)
    Dir.mktmpdir do |directory|
      File.write("#{directory}/my.cnf", text)
      output, status = Open3.capture2('my_print_defaults', "--defaults-file=#{directory}/my.cnf", section)
      raise "my_print_defaults: #{status}" unless status.success?
      output.lines.to_h { |line| line.chomp.delete_prefix('--').split('=', 2) }
    end
  end

  def mysqld(properties = {}, **rendering) = options(my_cnf(properties, **rendering), 'mysqld')
  def provider(properties = {}) = mysqld(properties).fetch('wsrep_provider_options').split(';').to_h { |o| o.split('=', 2) }
  def with(dotted, value) = JobSpec.nested(dotted, value)
  def refuse(properties, *words) = expect { my_cnf(properties) }.to(raise_error { |e| expect(e.message).to include(*words) })

  let(:tls) { JobSpec::TLS.fetch('mariadb') }
  let(:pem) { '/var/vcap/jobs/mariadb/config/tls' }

  describe 'as a whole' do
    it('is as in the golden file with defaults') { expect_golden('my.cnf', my_cnf) }
    it('is as in the golden file for the last of five members') { expect_golden('my-last-of-five.cnf', my_cnf(members: instances(5), own: instances(5).last)) }
    it('is as in the golden file for a single node') { expect_golden('my-single-node.cnf', my_cnf(members: instances(1))) }
    it('is as in the golden file with TLS') { expect_golden('my-tls.cnf', my_cnf(tls)) }
    it('is as in the golden file with TLS and rsync') { expect_golden('my-tls-rsync.cnf', my_cnf(tls.merge('sst_method' => 'rsync'))) }

    it 'is as in the golden file with everything set' do
      expect_golden('my-everything.cnf', my_cnf(tls.merge(
        'cluster_name' => 'big', 'port' => 13_306, 'galera_port' => 14_567, 'gcache_size' => '4G', 'applier_threads' => 16, 'max_connections' => 2000,
        'max_open_files' => 100_000, 'innodb_buffer_pool_size' => '48G', 'innodb_log_file_size' => '2G', 'innodb_flush_log_at_trx_commit' => 2,
        'character_set_server' => 'latin1', 'collation_server' => 'latin1_swedish_ci', 'binlog' => { 'enabled' => true, 'expire_days' => 3 },
        'slow_query_log' => { 'enabled' => false, 'seconds' => 0.5 }, 'provider_options' => { 'gcs.fc_limit' => 128, 'evs.suspect_timeout' => 'PT10S' },
        'tls' => tls['tls'].merge('required' => true), 'additional_my_cnf' => { 'mysqld' => { 'max_allowed_packet' => '256M' }, 'mysqldump' => { 'quick' => 'ON' } }
      )))
    end
  end

  describe 'each property' do
    {
      'port' => [13_306, 'port' => '13306', 'wsrep_node_incoming_address' => '10.0.0.10:13306'],
      'galera_port' => [14_567, 'wsrep_node_address' => '10.0.0.10:14567', 'wsrep_cluster_address' => 'gcomm://10.0.0.10:14567,10.0.0.11:14567,10.0.0.12:14567'],
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
      'slow_query_log.enabled' => [false, 'slow_query_log' => 'OFF'],
      'slow_query_log.seconds' => [0.5, 'long_query_time' => '0.5'],
      'additional_my_cnf' => [{ 'mysqld' => { 'max_connections' => 7 } }, 'max_connections' => '7']
    }.each do |property, (value, expected)|
      it "#{property} = #{value.inspect} becomes #{expected.map { |k, v| "#{k}=#{v}" }.join(', ')}" do
        expect(mysqld(with(property, value)).values_at(*expected.keys)).to eq(expected.values)
        expect(mysqld.values_at(*expected.keys)).not_to eq(expected.values)
      end
    end

    it 'binlog.expire_days counts where there is a binary log' do
      expect(mysqld('binlog' => { 'enabled' => true, 'expire_days' => 3 })['expire_logs_days']).to eq('3')
      expect(mysqld('binlog' => { 'expire_days' => 3 })).not_to include('expire_logs_days', 'log_bin')
    end

    it 'gcache_size, galera_port and provider_options reach the provider' do
      expect(provider('gcache_size' => '4G', 'galera_port' => 14_567, 'provider_options' => { 'gcs.fc_limit' => 128 }))
        .to include('gcache.size' => '4G', 'gmcast.listen_addr' => 'tcp://0.0.0.0:14567', 'gcs.fc_limit' => '128')
    end

    it 'tls.server.* give clients TLS, and tls.required makes them use it' do
      expect(mysqld).not_to include('ssl_ca', 'ssl_cert', 'ssl_key', 'require_secure_transport')
      expect(mysqld(tls)).to include('ssl_ca' => "#{pem}/server-ca.pem", 'ssl_cert' => "#{pem}/server.pem", 'ssl_key' => "#{pem}/server.key", 'require_secure_transport' => 'OFF')
      expect(mysqld('tls' => tls['tls'].merge('required' => true))['require_secure_transport']).to eq('ON')
    end

    it 'tls.replication.* give TLS to replication and state transfers' do
      expect(provider.keys.grep(/ssl/)).to eq([])
      expect(provider(tls)).to include('socket.ssl' => 'yes', 'socket.ssl_ca' => "#{pem}/replication-ca.pem", 'socket.ssl_cert' => "#{pem}/replication.pem",
                                       'socket.ssl_key' => "#{pem}/replication.key")
      files = { 'ssl-mode' => 'VERIFY_CA', 'tca' => "#{pem}/replication-ca.pem", 'tcert' => "#{pem}/replication.pem", 'tkey' => "#{pem}/replication.key" }
      expect(options(my_cnf(tls), 'sst')).to eq(files.merge('encrypt' => '3'))
      expect(options(my_cnf(tls.merge('sst_method' => 'rsync')), 'sst')).to eq(files)
    end

    it 'TLS for clients alone leaves state transfers as replication is' do
      expect(options(my_cnf('tls' => tls['tls'].slice('server')), 'sst')).to eq('ssl-mode' => 'DISABLED')
    end
  end

  describe 'members' do
    it 'are those of the link, each with the address of the others (S6, Q2)' do
      members = instances(4).each_with_index.map { |m, i| m.merge('address' => "q-m#{i}.bosh") }
      expect(mysqld(members: members)['wsrep_cluster_address']).to eq('gcomm://q-m0.bosh:4567,q-m1.bosh:4567,q-m2.bosh:4567,q-m3.bosh:4567')
    end

    it 'know themselves by instance id, not by address or index' do
      twins = instances(3).map { |m| m.merge('address' => '10.0.0.1') }
      settings = mysqld(members: twins, own: twins[2].merge('index' => 0, 'address' => 'other'))
      expect(settings).to include('wsrep_node_name' => 'mysql/2', 'wsrep_node_address' => '10.0.0.1:4567')
    end

    it 'that the link does not list are an error, which names them' do
      expect { my_cnf(own: { 'id' => 'stranger' }) }.to raise_error(/stranger/)
      expect { my_cnf(without_link: 'mariadb') }.to raise_error(JobTemplates::MissingLink, /mariadb/)
    end

    it 'can be one alone, which can grow (Q6)' do
      expect(mysqld(members: instances(1))['wsrep_cluster_address']).to eq('gcomm://10.0.0.10:4567')
    end

    it 'never begin a new cluster because of a file (G1, Q17)' do
      [my_cnf, my_cnf(members: instances(1)), my_cnf(tls)].each do |text|
        expect(text).not_to match(/new.cluster|gcomm:\/\/\s*$/)
      end
    end
  end

  it 'keeps what is committed, comes back warm, and logs where interface.md says' do
    expect(mysqld).to include('innodb_flush_log_at_trx_commit' => '1', 'innodb_doublewrite' => 'ON', 'binlog_format' => 'ROW', 'innodb_autoinc_lock_mode' => '2',
                              'innodb_buffer_pool_dump_at_shutdown' => 'ON', 'innodb_buffer_pool_load_at_startup' => 'ON', # H7
                              'log_error' => member['mariadb']['error_log'], 'socket' => member['mariadb']['socket'], 'datadir' => member['mariadb']['data_dir'],
                              'tmpdir' => member['paths']['tmp_dir'], 'pid_file' => '/var/vcap/sys/run/mariadb/mariadbd.pid')
    expect(mysqld).not_to include('user')
    expect(options(my_cnf, 'client')).to eq('port' => '3306', 'socket' => member['mariadb']['socket'])
  end

  it 'holds no secret: state transfers use the local administrator, whom the socket authenticates' do
    expect(mysqld['wsrep_sst_auth']).to eq("#{member['mariadb']['admin_user']}:")
    text = my_cnf(tls.merge('seeded_users' => { 'app' => { 'role' => 'admin', 'password' => 'top-secret' } }))
    expect(text).not_to match(/agent-password|top-secret|replication key|server key/)
  end

  describe 'hostile values' do
    it 'reach MariaDB as they are' do
      ['', ' ', '#', '"', "'", '\\', 'a\\nb', '\\"', '[mysqld]', '!include /etc/passwd', "it's", JobSpec::HOSTILE].each do |text|
        settings = mysqld('cluster_name' => text, 'additional_my_cnf' => { 'mysqld' => { 'init_connect' => text } })
        expect(settings.values_at('wsrep_cluster_name', 'init_connect')).to eq([text, text])
      end
    end

    %w[cluster_name port galera_port gcache_size applier_threads innodb_buffer_pool_size innodb_log_file_size innodb_flush_log_at_trx_commit max_connections
       max_open_files character_set_server collation_server sst_method slow_query_log.seconds slow_query_log.enabled binlog.enabled].each do |property|
      it "are refused for #{property} where they hold a line break" do
        refuse(with(property, "1\nwsrep_new_cluster"), property.sub('gcache_size', 'gcache.size'))
        refuse(with(property, "1\rx"), property.sub('gcache_size', 'gcache.size'))
      end
    end

    it 'are refused for further options, by name' do
      refuse({ 'binlog' => { 'enabled' => true, 'expire_days' => "1\n2" } }, 'binlog.expire_days')
      refuse({ 'additional_my_cnf' => { 'mysqld' => { 'init_connect' => "a\nb" } } }, 'additional_my_cnf.mysqld.init_connect', 'line break')
      refuse({ 'additional_my_cnf' => { 'mysqld' => { "a\nb" => 1 } } }, 'additional_my_cnf.mysqld', 'no option')
      refuse({ 'additional_my_cnf' => { "x]\n[mysqld" => { 'a' => 1 } } }, 'additional_my_cnf', 'no section')
      refuse({ 'additional_my_cnf' => { 'mysqld' => 'a = 1' } }, 'additional_my_cnf.mysqld', 'expected options')
    end

    it 'cannot bring in an option of the provider by another one' do
      refuse({ 'provider_options' => { 'gcs.fc_limit' => '1;pc.ignore_sb=true' } }, 'gcs.fc_limit', ';')
      refuse({ 'gcache_size' => '1G; pc.ignore_sb=true' }, 'gcache.size', ';')
      refuse({ 'provider_options' => { ' pc.ignore_sb' => true } }, 'no option of Galera')
      refuse({ 'provider_options' => { "gcs.fc_limit\n" => 1 } }, 'no option of Galera')
    end
  end

  describe 'what would make two clusters of one, or undo our decisions' do
    { 'pc.ignore_sb' => true, 'pc.ignore_quorum' => true, 'pc.bootstrap' => true, 'pc.recovery' => false, 'pc.npvo' => true, 'pc.wait_prim' => false,
      'pc.weight' => 3 }.each do |name, value|
      it "provider option #{name} is refused (H11, H12)" do
        refuse({ 'provider_options' => { name => value } }, 'provider_options', name)
      end
    end

    it 'options of the provider that are properties are refused, with the name of the property' do
      refuse({ 'provider_options' => { 'gcache.size' => '1G' } }, 'gcache_size')
      refuse({ 'provider_options' => { 'gmcast.listen_addr' => 'tcp://127.0.0.1:1' } }, 'galera_port')
    end

    %w[wsrep_provider_options wsrep-provider-options WSREP_Provider_Options loose_wsrep-new-cluster wsrep_provider_opt wsrep_cluster_address wsrep_dirty_reads
       datadir datad skip-log-error].each do |name|
      it "#{name} is refused in every section that the server reads (H11, G1)" do
        %w[mysqld mariadb mariadbd server galera client-server mysqld-10.11 mariadb-10.11].each do |section|
          refuse({ 'additional_my_cnf' => { section => { name => 1 } } }, "additional_my_cnf.#{section}.#{name}")
        end
      end
    end

    it 'clients may have options of these names' do
      expect(options(my_cnf('additional_my_cnf' => { 'mysqldump' => { 'user' => 'me' } }), 'mysqldump')).to eq('user' => 'me')
    end
  end

  describe 'half of something' do
    %w[ca certificate private_key].each do |leaf|
      it "TLS without #{leaf} is refused, by name; an empty text counts as nothing" do
        %w[replication server].each do |kind|
          refuse({ 'tls' => { kind => tls['tls'][kind].except(leaf) } }, "tls.#{kind}.#{leaf}")
          refuse({ 'tls' => { kind => tls['tls'][kind].merge(leaf => " \n") } }, "tls.#{kind}.#{leaf}")
        end
        expect(my_cnf('tls' => { 'server' => { leaf => '' }, 'replication' => { leaf => '' } })).to eq(my_cnf)
      end
    end

    it 'clients cannot be made to use TLS that is not there' do
      refuse({ 'tls' => { 'required' => true } }, 'tls.required', 'tls.server')
    end

    it 'a value that is none of those possible is refused' do
      refuse({ 'sst_method' => 'mysqldump' }, 'sst_method', 'mariabackup or rsync', 'mysqldump')
      refuse({ 'innodb_flush_log_at_trx_commit' => 3 }, 'innodb_flush_log_at_trx_commit', '0 or 1 or 2')
    end
  end
end
