# frozen_string_literal: true

require 'yaml'
require_relative 'support'

RSpec.describe 'the agent of a real cluster', type: :cluster do
  ClusterSpec.with_lab(self, 'agent', ops: ClusterSpec::SMALL + ClusterSpec::RSYNC)

  api = YAML.safe_load(File.read(File.join(RELEASE_DIR, 'docs', 'openapi.yaml')), aliases: true)
  operations = api['paths'].flat_map { |path, item| item.map { |verb, operation| [path, verb.upcase, operation] } }

  # What the document says of an answer, held against the answer.
  def expect_documented(api, operation, status, body)
    described = operation['responses'][status.to_s]
    expect(described).not_to be_nil, "status #{status} is not documented (#{body})"
    kind, content = described['content'].first
    schema = content['schema']
    schema = api.dig('components', 'schemas', schema['$ref'].split('/').last) if schema['$ref']
    return expect(body).to match(Regexp.new(schema.fetch('pattern', ''))) if kind == 'text/plain'
    return body.each_line { |line| expect_fits(schema, JSON.parse(line)) } if kind == 'application/x-ndjson'
    expect_fits(schema, JSON.parse(body))
  end

  def expect_fits(schema, value, at = '$')
    return if value.nil? && schema['nullable']
    kinds = { 'object' => Hash, 'array' => Array, 'string' => String, 'integer' => Integer, 'boolean' => [true, false] }
    expect(Array(kinds.fetch(schema['type'])).any? { |k| k === value }).to be(true), "#{at}: #{value.inspect} is no #{schema['type']}"
    (schema['required'] || []).each { |key| expect(value).to have_key(key), "#{at} lacks #{key}" }
    (schema['properties'] || {}).each { |key, inner| expect_fits(inner, value[key], "#{at}.#{key}") if value.key?(key) }
    extra = schema['properties'] && schema['type'] == 'object' && at == '$' ? value.keys - schema['properties'].keys : []
    expect(extra).to eq([]), "#{at}: not documented: #{extra}"
    value.each { |item| expect_fits(schema['items'], item, "#{at}[]") } if schema['items']
  end

  operations.select { |_, verb, _| verb == 'GET' }.each do |path, verb, operation|
    it "answers #{verb} #{path} as documented" do
      status, body = http(0, path)
      expect_documented(api, operation, status, body)
    end
  end

  it 'serves the documented routes and no other' do
    source = Dir[File.join(RELEASE_DIR, 'src/agent/{server,api}.rs')].map { |f| File.read(f) }.join
    served = source.scan(%r{"(/[a-z0-9_/]*)"}).flatten.uniq
    expect(served).to match_array(api['paths'].keys)
    expect(http(0, '/no/such').first).to eq(404)
  end

  it 'asks for a password on everything that acts or reveals, and on nothing else (G15)' do
    operations.each do |path, verb, operation|
      status, = http(0, path, method: verb, auth: false)
      expect(status == 401).to eq(operation['security'] != []), "#{verb} #{path} answered #{status}"
    end
    wrong = lab.exec(0, 'curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', '-u', 'galera-agent:wrong', "http://#{lab.address(0)}:9200/v1/observation")
    expect(wrong.out).to eq('401')
  end

  it 'C5: tells everybody a word, and why only to whoever shows the password' do
    lab.monit(1, 'stop', 'mariadb')
    wait('the agent to see it stopped') { http(1, '/').last.start_with?('stopped: ') }
    expect([http(1, '/', auth: false), http(1, '/galera_status', auth: false), http(1, '/api/v1/status', auth: false)]).to eq([[503, 'stopped'], [503, 'stopped'], [500, 'stopped']])
  ensure
    start_all([1])
    wait_healthy
  end

  it 'D8: says what to do where galera-start does not run' do
    lab.monit(1, 'stop', 'mariadb')
    wait('the agent to see it stopped') { http(1, '/').last.start_with?('stopped: ') }
    expect(http(1, '/stop_mysql', method: 'POST')).to eq([500, 'galera-start does not run; see galera-start.log, and start it: monit start mariadb'])
  ensure
    start_all([1])
    wait_healthy
  end

  it 'D2: holds a member only as long as the client of the compatible routes lives, and says who and how to end it' do
    expect(http(2, '/stop_mysql', method: 'POST', limit: 60)).to eq([200, 'stop successful'])
    expect(http(2, '/').last).to match(/\Aheld: held by a client of \/stop_mysql for at most \d\d s more/)
    status = lab.exec(2, '/var/vcap/packages/mariadb-galera/bin/galera-ctl', '--config', '/var/vcap/jobs/mariadb/config/member.yml', 'status').out.gsub(/\s+/, ' ')
    expect(status).to include('a client of /stop_mysql holds members', '/var/vcap/jobs/bootstrap/bin/run')
    wait_healthy(limit: 60)
  end

  it 'D2: a refusal releases whom it held' do
    http(2, '/stop_mysql', method: 'POST', limit: 60)
    lab.monit(1, 'stop', 'mariadb')
    wait('the agent to see it stopped') { http(1, '/').last.start_with?('stopped: ') }
    expect(http(1, '/stop_mysql', method: 'POST').first).to eq(500)
    wait('mysql/2 to be released', 15) { supervisor(2)['hold'].nil? }
  ensure
    start_all([1])
    wait_healthy
  end

  it 'D2: a person takes over at once from a client that stopped all members and went away' do
    lab.members.each { |i| expect(http(i, '/stop_mysql', method: 'POST', limit: 60).first).to eq(200) }
    expect(lab.members.map { |i| supervisor(i).dig('hold', 'owner') }).to all(eq('a client of /stop_mysql'))
    begun = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    done = lab.exec(0, '/var/vcap/jobs/bootstrap/bin/run', limit: 120)
    expect([done.status, done.words]).to match([0, a_string_including('Recovered:')]), done.to_s
    # Sooner than a hold would end by itself.
    expect(Process.clock_gettime(Process::CLOCK_MONOTONIC) - begun).to be < 40
    wait_healthy
  end

  it 'B7: a client that goes away while a member starts leaves no hold behind' do
    releases = -> { log(2).scan(/hold.released .*8000-000000000001/).size }
    before = releases.call
    http(2, '/stop_mysql', method: 'POST', limit: 60)
    expect(supervisor(2)['hold']).not_to be_nil
    http(2, '/start_mysql_join', method: 'POST', limit: 0.2)
    wait_healthy
    wait('the hold to be released', 10) { supervisor(2)['hold'].nil? }
    expect(releases.call).to eq(before + 1)
  end

  it 'refuses bad input with a clear error, and changes nothing' do
    before = supervisor(0)['hold']
    bad = ['{', '[]', '{}', '{"order": "x", "owner": "o", "reason": "r", "seconds": 5}', '{"order": "746e46f3-8f76-11e7-9c1c-a220eabab4ba", "owner": "o", "reason": "r", "seconds": 5, "more": 1}']
    bad.each { |body| expect(http(0, '/v1/hold', method: 'POST', body: body)).to match([400, a_string_including('error')]) }
    expect(http(0, '/v1/hold', method: 'POST', body: 'x' * 100_000).first).to be_between(400, 413)
    order = { order: '746e46f3-8f76-11e7-9c1c-a220eabab4ba', owner: 'o', reason: 'r', seconds: 0 }
    expect(http(0, '/v1/hold', method: 'POST', body: order)).to match([409, a_string_including('1 to 3600')])
    expect(http(0, '/v1/stop', method: 'POST', body: order.slice(:order))).to match([409, a_string_including('not held')])
    expect(supervisor(0)['hold']).to eq(before)
  end

  it 'holds, refuses another order by the name of the first, and lets go' do
    one = { order: '00000000-0000-4000-8000-000000000001', owner: 'first', reason: 'test', seconds: 60 }
    two = one.merge(order: '00000000-0000-4000-8000-000000000002', owner: 'second')
    status, body = http(0, '/v1/hold', method: 'POST', body: one)
    expect_documented(api, api['paths']['/v1/hold']['post'], status, body)
    expect(http(0, '/v1/hold', method: 'POST', body: two)).to match([409, a_string_including('held by first')])
    expect(http(0, '/v1/release', method: 'POST', body: two.slice(:order)).first).to eq(409)
    expect(http(0, '/v1/release', method: 'POST', body: one.slice(:order)).first).to eq(200)
    expect(synced?(0)).to be(true), 'a hold does not touch a running server'
  end

  it 'keeps a held member down over a restart of its supervisor, until the hold ends by itself (H14)' do
    one = { order: '00000000-0000-4000-8000-000000000003', owner: 'a test', reason: 'fence', seconds: 12 }
    http(2, '/v1/hold', method: 'POST', body: one)
    lab.exec(2, 'pkill', '-KILL', '-x', 'mariadbd')
    wait_phase(2, 'held')
    lab.exec(2, 'pkill', '-KILL', '-x', 'galera-start')
    wait_phase(2, 'held')
    wait('health to name the holder') { http(2, '/').last.start_with?('held: held by a test') }
    expect(lab.mariadbd(2)).to be_nil
    wait_healthy
  end

  it 'answers in time while mariadbd hangs, and says that it hangs, not that it is down (S2, S9)' do
    lab.kill(1, 'STOP')
    wait('health to say hung') { http(1, '/', limit: 3) == [503, 'hung: mariadbd runs and does not answer a new connection in time'] }
    begun = Time.now
    status, body = http(1, '/v1/observation', limit: 5)
    expect([status, Time.now - begun]).to match([200, a_value < 4])
    expect(JSON.parse(body)['sql']).to eq('is' => 'timed_out')
    expect(lab.mariadbd(1)).not_to be_nil
  ensure
    lab.kill(1, 'CONT')
    wait_healthy
  end

  it 'tells "too many connections" from a dead server (S9)' do
    lab.sql(0, 'SET GLOBAL max_connections=10')
    client = 'for i in $(seq 40); do setpriv --reuid=vcap --regid=vcap --init-groups mariadb --no-defaults --user=vcap --socket=/var/vcap/sys/run/mariadb/mysqld.sock -e "SELECT SLEEP(15)" >/dev/null 2>&1 & done; wait'
    clients = Thread.new { lab.exec(0, 'sh', '-c', client) }
    wait('its agent to meet it') { observation(0)['sql'] == { 'is' => 'too_many_connections' } }
    # Who is connected is served (I3).
    expect(http(0, '/')).to eq([200, 'synced: serves, and has no connection left for others (error 1040)'])
    lab.exec(0, 'pkill', '-x', 'mariadb')
    clients.join
    lab.sql(0, 'SET GLOBAL max_connections=50')
    wait_healthy
  end

  it 'is not shut by slow clients' do
    slow = Thread.new { lab.exec(0, 'sh', '-c', "for i in $(seq 40); do (printf 'GET / HTTP/1.1\\r\\nHost:'; sleep 8) | socat - TCP:#{lab.address(0)}:9200 >/dev/null & done; wait", limit: 30) }
    sleep 1
    expect(http(0, '/', auth: false, limit: 3).first).to eq(200)
    slow.join
  end

  it 'shows read_only and donor as they are configured' do
    lab.sql(2, 'SET GLOBAL read_only=ON')
    wait('read-only to be told') { http(2, '/').last.start_with?('read-only:') }
    lab.sql(2, 'SET GLOBAL read_only=OFF')
    wait('synced to be told') { http(2, '/', auth: false) == [200, 'synced'] }
  end

  it 'has its password changed while members are updated one by one, and each sees all others (G15, Q12)' do
    old, new = credentials(0).last, 'the new one'
    knows = ->(password) { lab.exec(0, 'curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', '-u', "galera-agent:#{password}", "http://#{lab.address(2)}:9200/v1/observation").out }
    lab.deploy(properties: { 'galera-agent.password' => new, 'galera-agent.previous_password' => old })
    expect([new, old, 'neither'].map(&knows)).to eq(%w[200 200 401])
    lab.deploy(properties: { 'galera-agent.password' => new })
    expect([new, old].map(&knows)).to eq(%w[200 401])
    wait_healthy
    expect(ctl(0, 'status')).to be_ok
  end
end
