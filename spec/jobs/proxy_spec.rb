# frozen_string_literal: true

require_relative 'rendering'
require_relative '../../ci/lab.d/manifest'

RSpec.describe 'job proxy', type: :rendering do
  def haproxy(properties = {}, **options) = render('proxy', 'config/haproxy.cfg', properties: properties, index: 0, **options)
  def galera_proxy(properties = {}, **options) = JSON.parse(render('proxy', 'config/galera-proxy.yml', properties: properties, index: 0, **options))
  def refuse(properties, *words, **options) = expect { haproxy(properties, **options) }.to(raise_error { |e| expect(e.message).to include(*words) })

  # As the lab makes certificates, once for all examples.
  before(:context) do
    @directory = Dir.mktmpdir
    made = LabParts::Variables.new(File.join(@directory, 'variables.yml'),
                                   [{ 'name' => 'ca', 'type' => 'certificate', 'options' => { 'is_ca' => true, 'common_name' => 'ca' } },
                                    { 'name' => 'one', 'type' => 'certificate', 'options' => { 'ca' => 'ca', 'common_name' => 'galera-agent' } }])
    @pem = made.fill('((one))')
    File.chmod(0o755, @directory)
  end
  after(:context) { FileUtils.rm_rf(@directory) }

  attr_reader :pem

  def agent_tls = { 'tls' => { 'ca' => pem['ca'], 'server_name' => 'galera-agent', 'client' => pem.slice('certificate', 'private_key') } }

  # All files of the job under a directory of the test's own. => path of haproxy.cfg
  def installed(properties = {}, **options)
    rendered('proxy', properties: properties, index: 0, **options).each do |file, text|
      path = File.join(@directory, 'jobs/proxy', file)
      FileUtils.mkdir_p(File.dirname(path))
      File.write(path, text.gsub('/var/vcap/jobs', "#{@directory}/jobs").gsub('/var/vcap/data/proxy', @directory).gsub('/var/vcap/sys/run/proxy', @directory))
    end
    File.write(File.join(@directory, 'writer.map'), "1 0\n")
    File.write(File.join(@directory, 'proxies.lst'), '')
    File.join(@directory, 'jobs/proxy/config/haproxy.cfg')
  end

  # HAProxy's own judgement: what it complains about, nothing if all is well.
  def complaints(...)
    output, status = Open3.capture2e({ 'PEER_1' => '192.0.2.1' }, 'haproxy', '-c', '-f', installed(...))
    status.success? ? output.lines.grep(/WARNING|ALERT/).grep_v(/could not resolve address '[\w.-]+.bosh'/).join : output
  end

  it 'renders haproxy.cfg and galera-proxy.yml as reviewed, with defaults and with everything' do
    all = { 'port' => 3316, 'inactive_port' => 3307, 'health_port' => 9209, 'peers_port' => 9211, 'max_connections' => 500, 'connect_timeout' => '2s', 'idle_timeout' => '8h',
            'stats' => { 'port' => 8081, 'username' => 'me', 'password' => 'p', 'tls' => pem.slice('certificate', 'private_key') },
            'healthcheck' => { 'interval' => '2s', 'timeout' => '3s', 'fall' => 5, 'rise' => 4 }, 'drain' => { 'delay' => '20s', 'timeout' => '1m' },
            'startup_delay' => '20s', 'log_level' => 'info', 'peers_from' => ['10.9.0.0/16', 'fd00::9'] }
    expect_golden(haproxy, 'haproxy.cfg')
    expect_golden(JSON.pretty_generate(galera_proxy) + "\n", 'galera-proxy.json')
    expect_golden(haproxy(all, links: links(agent: agent_tls)), 'haproxy-everything.cfg')
  end

  it 'is accepted by HAProxy in every form' do
    named = links.tap { |l| l.slice('mariadb', 'proxy').each_value { |link| link['instances'].each { |i| i['address'] = "q-#{i['index']}.mysql.default.x.bosh" } } }
    six = links.tap { |l| l.slice('mariadb', 'proxy').each_value { |link| link['instances'].each { |i| i['address'] = "fd00::#{i['index'] + 1}" } } }
    stats = { 'stats' => { 'password' => 'x', 'tls' => pem.slice('certificate', 'private_key') }, 'inactive_port' => 3307 }
    [[{}, {}], [stats, {}], [stats, { links: links(agent: agent_tls) }], [{}, { links: links(count: 1) }], [stats, { links: links(count: 9) }],
     [{ 'peers_from' => ['10.9.0.0/16', 'fd00::9'] }, {}], [{ 'log_level' => 'info', 'inactive_port' => 3307 }, { links: named }], [{}, { links: six }], [{}, { links: links.merge('proxy' => proxy_link(1)) }]].each do |properties, options|
      expect(complaints(properties, **options)).to eq('')
    end
  end

  it 'would not pass HAProxy with a mistake' do
    path = installed
    File.write(path, File.read(path).sub('use-server mysql-0', 'use-server mysql-9'))
    expect(Open3.capture2e('haproxy', '-c', '-f', path).last).not_to be_success
  end

  it 'asks the members\' agents, over TLS and with a certificate where they want that (G15)' do
    expect(haproxy).to match(/server mysql-1 10.0.0.5:3306 id 2 check port 9200 backup$/)
    expect(haproxy(links: links(agent: { 'port' => 9201 }))).to include('check port 9201')
    encrypted = haproxy(links: links(agent: agent_tls))
    expect(encrypted).to include('check-ssl check-sni galera-agent verify required verifyhost galera-agent', 'ca-file /var/vcap/jobs/proxy/config/tls/ca.pem',
                                 'crt /var/vcap/jobs/proxy/config/tls/client.pem')
    expect(haproxy(links: links(agent: { 'tls' => agent_tls['tls'].except('client') }))).not_to include('client.pem')
    # A member that is not updated yet knows nothing else.
    expect(haproxy(links: links(agent: { 'tls' => agent_tls['tls'].merge('mode' => 'offered') }))).not_to include('check-ssl')
  end

  it 'gives the members numbers that do not depend on who else there is, so that all proxies mean the same (M3)' do
    two = links.tap { |l| l['mariadb']['instances'].delete_at(1) }
    expect(haproxy(links: two).scan(/server (\S+) \S+ id (\d)/)).to eq([%w[mysql-0 1], %w[mysql-2 3]])
    expect(galera_proxy(links: two)['members']).to eq([{ 'name' => 'mysql/0', 'server' => 'mysql-0', 'number' => 1 }, { 'name' => 'mysql/2', 'server' => 'mysql-2', 'number' => 3 }])
    expect(haproxy(links: links.tap { |l| l['mariadb']['instances'].reverse! })).to eq(haproxy)
  end

  it 'knows the other proxies by instance id, whatever the addresses are' do
    expect(galera_proxy['others']).to eq([{ 'name' => 'proxy/1', 'address' => '10.0.0.21', 'variable' => 'PEER_1' }])
    expect(haproxy).to include("localpeer proxy-0\n", "server proxy-0\n", "server proxy-1 10.0.0.21:9210\n")
    refuse({}, 'instance elsewhere is not in the link proxy', spec: { 'name' => 'proxy', 'index' => 0, 'id' => 'elsewhere' })
  end

  it 'hears the other proxies alone on their port (I2)' do
    expect(haproxy).to match(/^listen peers\n  bind \*:9210\n(?:.*\n)*?  acl proxies src -f \S+\n  tcp-request connection reject unless proxies\n  server here unix@\S+\n/)
    refuse({ 'peers_from' => ['0.0.0.0/0 }'] }, 'peers_from', 'is no address')
    refuse({ 'peers_from' => '10.0.0.9' }, 'peers_from: expected a list')
    expect(haproxy[/^peers proxies\n(?:  .*\n)*/]).to match(/\A.*\n  bind unix@\S+ mode 600\n  server /)
  end

  it 'fails without its links' do
    own = spec_among(proxy_link, 0)
    %w[mariadb galera-agent proxy].each { |link| expect { haproxy(links: links.except(link), spec: own) }.to raise_error(JobTemplates::MissingLink, /#{link}/) }
  end

  it 'has no statistics page without a password' do
    expect(haproxy).not_to match(/^frontend stats/)
    expect(haproxy({ 'stats' => { 'password' => ' ' } })).not_to match(/^frontend stats/)
    expect(haproxy({ 'stats' => { 'password' => 'x' } })).to include("stats auth 'proxy:x'")
  end

  it 'refuses ports that are taken on the VM, naming them' do
    refuse({ 'health_port' => 3306 }, 'port and health_port are both 3306')
    refuse({ 'inactive_port' => 1936 }, 'health_port and inactive_port')
    refuse({}, 'port and port of job mariadb on this VM are both 3306', spec: spec_of(0), links: links.merge('proxy' => { 'instances' => members }))
    expect(haproxy({ 'port' => 3316 }, spec: spec_of(0), links: links.merge('proxy' => { 'instances' => members }))).to include('bind *:3316')
  end

  it 'refuses what HAProxy would not take, or take for something else' do
    { { 'port' => '3306; x' } => 'port: expected a number', { 'port' => 70_000 } => 'from 1 to 65535', { 'max_connections' => 0 } => 'max_connections',
      { 'connect_timeout' => "5s\nuser root" } => 'connect_timeout: expected a time', { 'idle_timeout' => 'ever' } => 'idle_timeout', { 'drain' => { 'timeout' => 5 } } => 'drain.timeout',
      { 'healthcheck' => { 'fall' => 0 } } => 'healthcheck.fall', { 'healthcheck' => { 'interval' => '1 s' } } => 'healthcheck.interval', { 'log_level' => 'debug' } => 'log_level',
      { 'stats' => { 'password' => 'x', 'username' => 'a:b' } } => 'stats.username', { 'stats' => { 'password' => 'x', 'username' => '' } } => 'stats.username',
      { 'stats' => { 'password' => "a\nb" } } => 'must not hold a line break', { 'stats' => { 'password' => 'x' * 600 } } => 'longer',
      { 'stats' => { 'password' => 'x', 'tls' => { 'certificate' => 'C' } } } => 'together' }.each { |properties, words| refuse(properties, words) }
    refuse({}, 'is no host name', links: links(agent: { 'tls' => { 'ca' => 'CA', 'server_name' => "x verify none\n" } }))
    refuse({}, 'is no address', links: links.tap { |l| l['mariadb']['instances'][0]['address'] = "10.0.0.1:1 ssl\n" })
    refuse({}, 'no name that HAProxy takes', links: links.tap { |l| l['mariadb']['instances'][0]['name'] = 'a b' })
  end

  it 'takes hostile passwords as they are: the page opens with exactly that one (curl asks)' do
    ['$HOME "x" \\ # % %[env(HOME)] ; \'', Rendering::HOSTILE, "'", '\\', "it's ${x}"].each do |password|
      path = installed({ 'stats' => { 'password' => password } })
      script = <<~SH
        ip link set lo up
        haproxy -db -f "$CONFIG" >/dev/null 2>&1 & haproxy=$!
        ask() { curl --silent --output /dev/null --max-time 5 --retry 20 --retry-connrefused --retry-delay 1 --write-out '%{http_code} ' "$@" http://127.0.0.1:8080/; }
        ask --user "proxy:$PASSWORD"; ask --user "proxy:$PASSWORD."; ask
        kill $haproxy; wait $haproxy
      SH
      output, = Open3.capture2({ 'CONFIG' => path, 'PASSWORD' => password }, 'timeout', '60', 'unshare', '--net', 'bash', '-c', script)
      expect(output).to eq('200 401 401 '), password
    end
  end

  it 'C2: answers about its health beside a client that keeps all connections it gets, and clients of the database cannot take them (curl asks)' do
    path = installed({ 'max_connections' => 5 })
    # Silent ones from one address, and as many to the port of the database as it takes.
    silent = 'require "socket"; k = []; 400.times { k << TCPSocket.new("127.0.0.1", 1936) rescue 0 }; 20.times { k << TCPSocket.new("127.0.0.1", 3306) rescue 0 }; puts; $stdout.flush; sleep'
    script = <<~SH
      ip link set lo up
      haproxy -db -f "$CONFIG" >/dev/null 2>&1 & haproxy=$!
      ask() { curl --silent --max-time 3 --interface "$1" --retry 20 --retry-connrefused --retry-delay 1 http://127.0.0.1:1936/writer; echo; }
      ask 127.0.0.1
      coproc ruby -e '#{silent}'
      read -r _ <&"${COPROC[0]}"
      ask 127.0.0.2
      kill $haproxy $COPROC_PID
    SH
    output, = Open3.capture2({ 'CONFIG' => path, 'PEER_1' => '192.0.2.1' }, 'timeout', '60', 'unshare', '--net', 'bash', '-c', script)
    expect(output).to eq("0\n0\n")
  end

  it 'D6: keeps the members\' addresses while name servers are silent, refuse, or know nobody' do
    named = haproxy(links: links.tap { |l| l['mariadb']['instances'][0]['address'] = 'q-s0.mysql.bosh' })
    expect(named.scan(/^  hold (\w+) (\w+)$/)).to eq([%w[valid 5s], *%w[nx timeout refused other].map { |w| [w, '24h'] }])
    expect(haproxy).not_to include('resolvers')
  end

  it 'names every file with a secret as private, and keeps secrets out of galera-proxy.yml' do
    secret = { 'stats' => { 'password' => 'top-secret', 'tls' => { 'certificate' => 'C', 'private_key' => 'top-secret' } } }
    shared = { 'password' => 'top-secret', 'tls' => { 'ca' => 'CA', 'server_name' => 'x', 'client' => { 'certificate' => 'C', 'private_key' => 'top-secret' } } }
    files = rendered('proxy', properties: secret, links: links(agent: shared), index: 0)
    expect(galera_proxy['private_files']).to match_array(files.select { |_, text| text.include?('top-secret') }.keys.map { |f| "/var/vcap/jobs/proxy/#{f}" })
  end

  it 'renders what galera-proxy accepts, in every form', :executables do
    [links, links(count: 1), links.merge('proxy' => proxy_link(1))].each do |given|
      _out, err, status = check_config('galera-proxy', JSON.dump(galera_proxy(links: given)))
      expect([status.exitstatus, err]).to eq([0, ''])
    end
    _out, err, status = check_config('galera-proxy', JSON.dump(galera_proxy.merge('members' => [])))
    expect([status.exitstatus, err]).to match([2, /members: expected at least one/])
  end
end

RSpec.describe 'job smoke-tests', type: :rendering do
  def smoke(properties = {}, **options) = JSON.parse(render('smoke-tests', 'config/galera-smoke.yml', properties: { 'password' => 'x' }.merge(properties), **options))

  it 'writes through the proxies where there are some, else through each member, and reads on each member' do
    expect(smoke['entries']).to eq([{ 'name' => 'proxy/0', 'address' => '10.0.0.20', 'port' => 3306 }, { 'name' => 'proxy/1', 'address' => '10.0.0.21', 'port' => 3306 }])
    alone = smoke(links: links.except('proxy'))
    expect(alone['entries']).to eq(alone['members'])
    expect(alone['members'].map { |m| m['name'] }).to eq(%w[mysql/0 mysql/1 mysql/2])
    expect { smoke(links: {}) }.to raise_error(JobTemplates::MissingLink)
  end

  it 'uses TLS where the members have it' do
    expect(smoke).not_to have_key('tls')
    encrypted = links(mariadb: { 'tls' => { 'server' => { 'ca' => "CA\nline" } } })
    expect(smoke(links: encrypted)['tls']).to eq('ca' => '/var/vcap/jobs/smoke-tests/config/tls/server-ca.pem')
    expect(render('smoke-tests', 'config/tls/server-ca.pem', links: encrypted)).to eq("CA\nline\n")
  end

  it 'needs a password and a database, and passes hostile ones through unchanged' do
    expect { render('smoke-tests', 'config/galera-smoke.yml') }.to raise_error(JobTemplates::MissingProperty, /password/)
    expect { smoke({ 'password' => '' }) }.to raise_error(/password must not be empty/)
    expect { smoke({ 'database' => '' }) }.to raise_error(/database must not be empty/)
    hostile = { 'user' => Rendering::HOSTILE, 'password' => "#{Rendering::HOSTILE}\nline", 'database' => Rendering::HOSTILE }
    expect(smoke(hostile)).to include(hostile)
  end

  it 'renders what galera-smoke accepts, in every form', :executables do
    [links, links.except('proxy'), links(mariadb: { 'tls' => { 'server' => { 'ca' => 'CA' } } })].each do |given|
      _out, err, status = check_config('galera-smoke', JSON.dump(smoke({ 'password' => Rendering::HOSTILE }, links: given)))
      expect([status.exitstatus, err]).to eq([0, ''])
    end
    _out, err, status = check_config('galera-smoke', JSON.dump(smoke({ 'step_timeout' => 'soon' })))
    expect([status.exitstatus, err]).to match([2, /step_timeout: expected a duration/])
  end
end
