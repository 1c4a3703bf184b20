# frozen_string_literal: true

require_relative 'client'

# Two proxies on VMs of their own, and clients that write through both of them all the while.
RSpec.describe 'the proxy', type: :cluster do
  ops = ClusterSpec::SMALL + ClusterSpec::RSYNC + %w[proxy smoke-tests].map { |o| File.join(RELEASE_DIR, "templates/ops/#{o}.yml") }
  seeded = { 'role' => 'schema', 'databases' => ['ledger'], 'password' => 'secret' }
  ClusterSpec.with_lab(self, 'proxy', ops: ops, properties: { 'mariadb.seeded_users.client' => seeded, 'proxy.inactive_port' => 3307, 'proxy.drain.timeout' => '4s' })

  before(:context) do
    lab.sql(0, 'CREATE DATABASE IF NOT EXISTS ledger')
    lab.sql(0, ClusterSpec::Client::OWN_TABLE)
    @clients = %w[proxy/0 proxy/1].map { |p| ClusterSpec::Client.new(lab, p, user: 'client', password: 'secret', ledger: ledger).start }
  end
  after(:context) { @clients&.each(&:stop) }

  attr_reader :clients

  def one = clients.first

  # Both clients over the block; their figures are told, for whoever reads the output.
  def during(what, &block)
    other = nil
    figures = one.during(what) { other = clients.last.during(what, &block) }
    [figures, other].each { |f| RSpec.configuration.reporter.message("  #{f}") }
  end

  # The members, in the order in which new clients through each proxy find them.
  def new_client(proxy, port = 3306)
    command = ['mariadb', '--no-defaults', '-h', lab.address(proxy), '-P', port.to_s, '-u', 'client', '--password=secret', '--connect-timeout=10', '-BNe', 'SELECT @@wsrep_node_name']
    lab.exec('proxy/1', *command)
  end

  def writers = clients.map(&:served_by)
  def the_writer = writers.first
  def others = lab.members - [the_writer]

  def haproxy(proxy, command) = lab.exec(proxy, 'socat', '-t', '5', '-', 'UNIX-CONNECT:/var/vcap/sys/run/proxy/haproxy.sock', stdin: "#{command}\n").out
  def up?(proxy, member) = haproxy(proxy, 'show stat').lines.any? { |l| l.start_with?("mariadb,#{member.tr('/', '-')},") && l.split(',')[17].start_with?('UP') }
  def wait_up(member) = wait("both proxies to see #{member} as fit") { %w[proxy/0 proxy/1].all? { |p| up?(p, member) } }
  def wait_writer(*members) = wait("the writer to be one of #{members.join(', ')}, for all clients (#{writers.join(', ')})") { writers.uniq.size == 1 && members.include?(the_writer) }
  def health(proxy) = lab.exec(proxy, 'curl', '--silent', '--max-time', '5', '-w', ' %{http_code}', 'http://127.0.0.1:1936/').out
  def proxy_log(proxy) = log(proxy, 'proxy/galera-proxy.log')

  # That clients stay where they are: those that are connected, and new ones, through each proxy.
  def expect_to_stay_at(member)
    wait_up(lab.members.find { |m| m != member })
    clients.each(&:wait_served)
    expect(writers.uniq).to eq([member])
    expect(%w[proxy/0 proxy/1].map { |p| new_client(p).out.chomp }.uniq).to eq([member])
  end

  it 'sends all clients to one member, and those of inactive_port to another one' do
    expect(writers.uniq).to eq(['mysql/0'])
    expect(%w[proxy/0 proxy/1].map { |p| new_client(p, 3307).out.chomp }).to eq(%w[mysql/2 mysql/2])
    expect(health('proxy/0')).to eq('serves 200')
  end

  # As one proxy greets another.
  def greet(from)
    hello = "HAProxyS 2.1\\nproxy-0\\nproxy-1 1 1\\n"
    lab.exec(from, 'sh', '-c', "(printf '#{hello}'; sleep 1) | socat -t 2 - TCP:#{lab.address('proxy/0')}:9210").out.lines.first
  end

  it 'hears other proxies, and nobody else, on who the writer is (I2)' do
    expect(greet('mysql/1')).to be_nil
    expect(greet('proxy/1')).to eq("200\n")
  end

  it 'has a page of statistics for whoever has the password' do
    user = lab.exec('proxy/0', 'sh', '-c', %q{sed -n "s/ *stats auth '\(.*\)'/\1/p" /var/vcap/jobs/proxy/config/haproxy.cfg}).out.chomp
    page = ->(*options) { lab.exec('proxy/0', 'curl', '--silent', *options, "http://#{lab.address('proxy/0')}:8080/").out }
    expect(page.('-u', user)).to include('mysql-0', 'Statistics Report')
    expect(page.()).not_to include('mysql-0')
    expect(lab.exec('proxy/0', 'stat', '-L', '-c', '%a %U', '/var/vcap/jobs/proxy/config/haproxy.cfg').out).to eq("600 vcap\n")
  end

  it 'moves the clients when the writer is killed, and not back when it returns (Q8, H8, M3)' do
    during('writer killed -9') do
      lab.monit('mysql/0', 'unmonitor', 'mariadb')
      lab.kill('mysql/0')
      wait_writer('mysql/1', 'mysql/2')
    end
    moved_to = the_writer
    during('the killed one returns') do
      start_all(['mysql/0'])
      wait_healthy
      wait_up('mysql/0')
    end
    expect_to_stay_at(moved_to)
    expect(proxy_log('proxy/0')).to match(%r{proxy.writer .*from=mysql/0 to=#{moved_to}})
  end

  it 'keeps the writer over a reload, and cuts nobody' do
    writer = the_writer
    figures = one.during('a reload') { expect(lab.exec('proxy/0', '/var/vcap/jobs/proxy/bin/reload').out).to eq("reloaded\n") }
    RSpec.configuration.reporter.message("  #{figures}")
    # Beyond drain.timeout the connections of before the reload end.
    expect(figures.errors).to eq([])
    expect_to_stay_at(writer)
  end

  it 'keeps the writer over a restart of a proxy, and over that of all (M3)' do
    writer = the_writer
    expect(writer).not_to eq('mysql/0')
    during('proxy/0 restarted') { lab.restart('proxy/0') }
    expect_to_stay_at(writer)
    during('both proxies ended at once, and started by monit') do
      %w[proxy/0 proxy/1].map { |p| Thread.new { lab.exec(p, 'pkill', '-TERM', '-x', 'galera-proxy') } }.each(&:join)
      wait('both to be back') { %w[proxy/0 proxy/1].all? { |p| proxy_log(p).lines.grep(/proxy.starting/).last.include?("writer=#{writer}") && health(p) == 'serves 200' } }
    end
    expect_to_stay_at(writer)
  end

  it 'is not touched by the end of galera-proxy, which adopts it again (H17)' do
    pid = -> { lab.exec('proxy/0', 'pgrep', '-o', '-x', 'haproxy').out }
    before = pid.call
    figures = one.during('galera-proxy killed -9') do
      lab.exec('proxy/0', 'pkill', '-KILL', '-x', 'galera-proxy')
      wait('galera-proxy to be back') { proxy_log('proxy/0').include?('proxy.adopted') }
    end
    expect([pid.call, figures.errors]).to eq([before, []])
  end

  it 'lets the others in after that too, and is together with them (I2)' do
    expect(greet('proxy/1')).to eq("200\n")
    expect(greet('mysql/1')).to be_nil
    expect(proxy_log('proxy/0')).not_to include('proxy.apart')
  end

  it 'moves the clients when the writer is drained, and not back when it is started' do
    drained = the_writer
    during("#{drained} drained by bosh stop") do
      lab.stop(drained)
      wait_writer(*others_than(drained))
    end
    moved_to = the_writer
    during("#{drained} started again") do
      lab.start(drained)
      wait_healthy
      wait_up(drained)
    end
    expect_to_stay_at(moved_to)
  end

  it 'moves the clients when the writer is cut off from the others, although it lives and can be reached (Q1, Q8, Q16)' do
    cut = the_writer
    during("#{cut} cut off from the members: non-primary") do
      others_than(cut).each { |other| lab.cut_link(cut, other) }
      wait_writer(*others_than(cut))
    end
    expect(wsrep(cut, 'cluster_status')).to eq('non-Primary')
    moved_to = the_writer
    during('the cut is healed') do
      lab.heal
      wait_healthy
      wait_up(cut)
    end
    expect_to_stay_at(moved_to)
  end

  it 'takes the clients of all proxies along when one of them moves the writer' do
    writer = the_writer
    during("proxy/0 alone is cut off from #{writer}") do
      lab.cut_link('proxy/0', writer)
      wait_writer(*others_than(writer))
    end
    expect(up?('proxy/1', writer)).to be(true)
    expect(proxy_log('proxy/1')).to include('proxy.cut')
    lab.heal
    wait_up(writer)
  end

  it 'lets clients go on for drain.timeout when it drains, and closes the health port first' do
    figures = one.during('proxy/0 drained and started') do
      began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      drain = Thread.new { lab.drain('proxy/0') }
      wait('the health port to be closed') { health('proxy/0') == ' 000' }
      wait('new clients to be refused') { !new_client('proxy/0').ok? }
      served = one.during('draining') { one.wait_served }
      expect(served.errors).to eq([])
      expect(drain.value).to eq("0\n")
      expect(Process.clock_gettime(Process::CLOCK_MONOTONIC) - began).to be_between(3, 12)
      lab.start('proxy/0')
    end
    RSpec.configuration.reporter.message("  #{figures}")
    expect(log('proxy/0', 'proxy/drain.log')).to include('job_shutdown', 'no new clients', 'HAProxy has ended')
  end

  it 'is tried by the smoke test: through each proxy, and on each member' do
    results = lab.run_errand('smoke-tests')
    expect(results.keys).to eq(lab.members)
    expect(results.values.map(&:status)).to eq([0, 0, 0]), told(results)
    expect(results['mysql/0'].out).to include("proxy/1 (#{lab.address('proxy/1')}:3306): written and read back on #{the_writer}", "mysql/2 (#{lab.address('mysql/2')}:3306): has it",
                                              'The cluster serves: written through 2 of 2, and each write read on 3 of 3.')
    expect(value(0, "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'smoke_tests'")).to eq('0')
  end

  it 'makes the smoke test fail where a member or a proxy does' do
    gone = others.last
    lab.monit(gone, 'unmonitor', 'mariadb')
    lab.kill(gone)
    lab.monit('proxy/1', 'stop', 'proxy')
    wait('proxy/1 to be down') { health('proxy/1') == ' 000' }
    result = lab.run_errand('smoke-tests', instance: the_writer).values.first
    expect(result.status).to eq(1)
    expect(result.out).to match(/#{gone} \(.*\): FAILED: connect/).and match(%r{^proxy/1 \(.*\): FAILED: connect}).and include("proxy/0 (#{lab.address('proxy/0')}:3306): written")
    expect(result.err).to match(/5 of 8 checks failed.*bosh run-errand diagnose/)
    lab.monit('proxy/1', 'start', 'proxy')
    start_all([gone])
    wait_healthy
    clients.each(&:wait_served)
  end

  it 'rejects clients at once while no member is fit, and serves by itself when one is again (Q8)' do
    during('all members killed and started again') do
      all_down
      wait('the proxies to know') { %w[proxy/0 proxy/1].all? { |p| health(p) == 'no member is fit for clients 503' } }
      began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      refused = new_client('proxy/0')
      expect([refused.ok?, Process.clock_gettime(Process::CLOCK_MONOTONIC) - began]).to match([false, be < 2])
      start_all
      wait_healthy
    end
    wait('the proxies to serve') { %w[proxy/0 proxy/1].all? { |p| health(p) == 'serves 200' } }
  end

  it 'lost nothing that was acknowledged' do
    clients.each(&:stop)
    RSpec.configuration.reporter.message("  #{ledger.size} writes were acknowledged in all, 0 of them lost") if expect_nothing_lost
  end

  def others_than(member) = lab.members - [member]
end
