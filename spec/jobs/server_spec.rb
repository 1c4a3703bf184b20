# frozen_string_literal: true

require 'fileutils'
require_relative 'rendering'
require_relative '../../ci/lab.d/manifest'

# my.cnf in the hands of the real server, alone in a network of its own.
RSpec.describe 'job mariadb: the real server', type: :rendering do
  tree = { '/var/vcap/packages/mariadb/lib/plugin' => '/usr/lib/mysql/plugin', '/var/vcap/packages/mariadb/share' => '/usr/share/mysql',
           '/var/vcap/packages/galera-4/lib' => '/usr/lib/galera', '/var/vcap/packages/mariadb' => '/usr' }

  around do |example|
    Dir.mktmpdir do |directory|
      @directory = directory
      File.chmod(0o755, directory)
      example.run
    end
  end

  # The job's files with Debian's paths, and a loopback address.
  def install(properties)
    alone = links(count: 1)
    alone['mariadb']['instances'].first['address'] = '127.0.0.1'
    rendered('mariadb', properties: properties, links: alone, index: 0).each do |file, text|
      path = File.join(@directory, 'jobs/mariadb', file)
      FileUtils.mkdir_p(File.dirname(path))
      File.write(path, with_paths(text))
    end
    %w[store/mariadb data/mariadb/tmp sys/run/mariadb sys/log/mariadb].each { |d| FileUtils.mkdir_p(File.join(@directory, d)) }
    FileUtils.chown_R('vcap', 'vcap', @directory)
    File.join(@directory, 'jobs/mariadb/config/my.cnf')
  end

  define_method(:with_paths) { |text| tree.reduce(text) { |t, (from, to)| t.gsub(from, to) }.gsub('/var/vcap', @directory) }

  def as_vcap = %w[setpriv --reuid=vcap --regid=vcap --init-groups]

  # A first member begins its cluster, answers `statement`, and stops.
  def served(properties, statement)
    my_cnf = install(properties)
    output, status = Open3.capture2e(*as_vcap, 'mariadb-install-db', "--defaults-file=#{my_cnf}", '--auth-root-authentication-method=socket', '--auth-root-socket-user=vcap', '--skip-test-db')
    raise output unless status.success?
    script = <<~SH
      ip link set lo up
      #{as_vcap.join(' ')} mariadbd --defaults-file=#{my_cnf} --wsrep-new-cluster & server=$!
      trap 'kill $server; wait $server' EXIT
      for _ in $(seq 300); do
        answer=$(#{as_vcap.join(' ')} mariadb --defaults-file=#{my_cnf} --batch --skip-column-names --execute="$STATEMENT" 2>&1) && grep -q Synced <<<"$answer" && break
        kill -0 $server || break
        sleep 0.1
      done
      echo "$answer"
    SH
    output, = Open3.capture2e({ 'STATEMENT' => statement }, 'timeout', '90', 'unshare', '--net', 'bash', '-c', script)
    log = File.read(File.join(@directory, 'sys/log/mariadb/mariadb.err.log'))
    [output.lines.map { |l| l.chomp.split("\t") }.select { |pair| pair.size == 2 }.to_h, log]
  end

  define_method(:pem) do |name|
    made = LabParts::Variables.new(File.join(@directory, 'variables.yml'), [
      { 'name' => 'ca', 'type' => 'certificate', 'options' => { 'is_ca' => true, 'common_name' => 'ca' } },
      { 'name' => name, 'type' => 'certificate', 'options' => { 'ca' => 'ca', 'common_name' => name } }
    ])
    made.fill("((#{name}))")
  end

  asked = "SELECT VARIABLE_NAME, VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME IN ('WSREP_LOCAL_STATE_COMMENT', 'WSREP_CLUSTER_STATUS') " \
          "UNION SELECT VARIABLE_NAME, VARIABLE_VALUE FROM information_schema.GLOBAL_VARIABLES WHERE VARIABLE_NAME IN ('WSREP_NODE_NAME', 'HAVE_SSL', " \
          "'WSREP_CLUSTER_NAME', 'INNODB_FLUSH_LOG_AT_TRX_COMMIT', 'REQUIRE_SECURE_TRANSPORT', 'LOG_BIN', 'INIT_CONNECT', 'WSREP_PROVIDER_OPTIONS')"
  small = { 'innodb_buffer_pool_size' => '16M', 'innodb_log_file_size' => '8M', 'gcache_size' => '8M', 'max_open_files' => 1024 }

  it 'accepts every option, and serves with defaults' do
    answer, log = served(small, asked)
    expect(answer).to include('WSREP_LOCAL_STATE_COMMENT' => 'Synced', 'WSREP_CLUSTER_STATUS' => 'Primary', 'WSREP_NODE_NAME' => 'mysql/0',
                              'INNODB_FLUSH_LOG_AT_TRX_COMMIT' => '1', 'LOG_BIN' => 'OFF', 'HAVE_SSL' => 'DISABLED'), log
    expect(answer['WSREP_PROVIDER_OPTIONS']).to include('gcache.size = 8M', 'pc.recovery = true', 'pc.weight = 1', 'pc.ignore_sb = false')
    expect(log.lines.grep(/\[ERROR\]|unknown (option|variable)|deprecated/)).to eq([])
  end

  it 'accepts every option, and serves with TLS, a binary log and hostile values' do
    answer, log = served(small.merge('tls' => { 'replication' => pem('replication'), 'server' => pem('server'), 'required' => true }, 'binlog' => { 'enabled' => true },
                                     'cluster_name' => %q(it's "1" \\ # ;), 'provider_options' => { 'gcs.fc_limit' => 77 }, 'slow_query_log' => { 'seconds' => 0.5 },
                                     'additional_my_cnf' => { 'mysqld' => { 'init_connect' => %q(SET @a = "x # \\\\ y") } }), asked)
    expect(answer).to include('WSREP_LOCAL_STATE_COMMENT' => 'Synced', 'HAVE_SSL' => 'YES', 'REQUIRE_SECURE_TRANSPORT' => 'ON', 'LOG_BIN' => 'ON',
                              'WSREP_CLUSTER_NAME' => %q(it's "1" \\\\ # ;), 'INIT_CONNECT' => %q(SET @a = "x # \\\\\\\\ y")), log
    expect(answer['WSREP_PROVIDER_OPTIONS']).to include('gcs.fc_limit = 77', 'socket.ssl = YES')
    expect(log).to include("listening at ssl://0.0.0.0:4567")
    expect(log.lines.grep(/\[ERROR\]|unknown (option|variable)|deprecated/)).to eq([])
  end
end
