# frozen_string_literal: true

require_relative 'support'

# With TLS everywhere and the default state transfer, mariabackup.
RSpec.describe 'a cluster with TLS', type: :cluster do
  proxies = %w[colocated-proxy smoke-tests].map { |o| File.join(RELEASE_DIR, "templates/ops/#{o}.yml") }
  # The errand is to find a cluster that waits for it.
  ClusterSpec.with_lab(self, 'tls', ops: ClusterSpec::SMALL + proxies + ClusterSpec::TLS,
                                    properties: { 'mariadb.tls.required' => true, 'mariadb.auto_recovery' => 'errand' })

  def agent_tls(name) = "/var/vcap/jobs/galera-agent/config/tls/#{name}"

  def curl(*options)
    lab.exec(0, 'curl', '--silent', '--show-error', '--max-time', '5', '--resolve', "galera-agent:9200:#{lab.address(1)}", '--cacert', agent_tls('ca.pem'), *options, 'https://galera-agent:9200/')
  end

  it 'came up with encrypted replication and full copies by mariabackup' do
    expect(log(1, 'mariadb/mariadb.err.log')).to include('mariabackup SST completed on joiner')
    expect(value(0, 'SELECT @@wsrep_provider_options')).to include('socket.ssl = YES')
  end

  it 'refuses clients without TLS where it is required' do
    lab.sql(0, "CREATE USER tester@'%' IDENTIFIED BY 'x'")
    connect = ['mariadb', '--no-defaults', '-h', lab.address(0), '-u', 'tester', '-px', '-e', "SHOW STATUS LIKE 'Ssl_cipher'"]
    expect(lab.exec(1, *connect, '--ssl').out).to match(/Ssl_cipher\s+TLS/)
    expect(lab.exec(1, *connect, '--skip-ssl').err).to include('ERROR 1045')
  end

  it 'has agents that answer HTTPS, and only clients with a certificate (G15)' do
    answer = curl('--cert', agent_tls('client.pem'), '--key', agent_tls('client.key'))
    expect([answer.status, answer.out]).to eq([0, 'synced'])
    expect(curl.status).not_to eq(0)
    plain = lab.exec(0, 'curl', '--silent', '--max-time', '5', "http://#{lab.address(1)}:9200/")
    expect(plain.out).not_to include('synced')
  end

  it 'is served by proxies on the members\' VMs, which show the agents a certificate; clients have TLS through them' do
    results = lab.run_errand('smoke-tests')
    expect(results.values.map(&:status)).to eq([0, 0, 0]), told(results)
    expect(results['mysql/2'].out).to include("mysql/1 (#{lab.address(1)}:3316): written and read back on mysql/0", 'written through 3 of 3')
    plain = lab.exec(1, 'mariadb', '--no-defaults', '-h', lab.address(0), '-P', '3316', '-u', 'smoke-tests', '-px', '--skip-ssl', '-e', 'SELECT 1')
    expect(plain.err).to include('ERROR 1045')
  end

  it 'keeps private keys in files of mode 0600' do
    files = %w[galera-agent mariadb].map { |job| "/var/vcap/jobs/#{job}/config/tls/*.key" } + ['/var/vcap/jobs/proxy/config/tls/client.pem']
    modes = lab.exec(0, 'sh', '-c', "stat -L -c '%a' #{files.join(' ')}").out
    expect(modes.split.uniq).to eq(['600'])
  end

  it 'is recovered by the errand, and a member with an empty disk gets a full copy (Q6)' do
    write(0, 'before the outage')
    lab.monit(2, 'unmonitor', 'mariadb')
    lab.kill(2)
    # The last view of the others tells that mysql/2 cannot have had more.
    wait('the others to go on, and to remember it') { [0, 1].all? { |i| remembers_view_of(i) == 2 } }
    all_down
    forget_views
    lab.exec(2, 'rm', '-rf', '/var/vcap/store/mariadb')
    start_all
    lab.instances.each { |i| wait_phase(i, 'waiting') }
    results = errand
    expect(results.values.map(&:status)).to eq([0, 0, 0]), told(results)
    expect(results.values.map(&:words)).to all(include('Note: mysql/2 has no data'))
    wait_healthy
    expect_nothing_lost
  end
end
