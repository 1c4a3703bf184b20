# frozen_string_literal: true

require_relative 'support'

# Each situation has its code, its sentence, its exit code, and nothing is done that should not be.
RSpec.describe 'galera-ctl diagnose', type: :cluster do
  ClusterSpec.with_lab(self, 'diag', ops: ClusterSpec::SMALL + ClusterSpec::RSYNC, properties: { 'mariadb.auto_recovery' => 'errand' })

  program = '/var/vcap/packages/mariadb-galera/bin/galera-ctl'
  client = 'setpriv --reuid=vcap --regid=vcap --init-groups mariadb --no-defaults --user=vcap --socket=/var/vcap/sys/run/mariadb/mysqld.sock'
  define_method(:ctl) { |instance, *words, **options| lab.exec(instance, program, *words, **options) }
  define_method(:client) { client }

  # Looks until the code is there, as one look; then takes the whole diagnosis.
  def diagnosed(code, from: 0, limit: 60)
    wait("the diagnosis #{code} (#{ctl(from, 'status').out})", limit) { look(from)['code'] == code }
    told = ctl(from, 'diagnose', limit: 60)
    document = look(from)
    [told.status, told.out, document['members'].to_h { |m| [m['name'], m['code']] }]
  end

  def look(from = 0) = JSON.parse(ctl(from, 'status', '--json').out).fetch('diagnosis')
  def pids = lab.instances.map { |i| lab.vm(i).up? && lab.mariadbd(i) }

  # Nothing was started, stopped or begun meanwhile.
  around do |example|
    before = [pids, lab.instances.map { |i| memory(i)['lineage']&.size }]
    example.run
    expect([pids, lab.instances.map { |i| memory(i)['lineage']&.size }]).to eq(before) unless example.metadata[:acts]
  end

  # In a session that stays open until the block has run.
  def in_session(instance, statement)
    lab.exec(instance, 'sh', '-c', "((echo \"#{statement};\"; sleep 120) | #{client}) >/dev/null 2>&1 &")
    yield
  ensure
    lab.exec(instance, 'pkill', '-f', '^sleep 120$')
  end

  def write_many(instance, count)
    lab.exec(instance, 'sh', '-c', "(for n in $(seq #{count}); do echo 'INSERT INTO x.t VALUES ();'; done | #{client} --force) >/dev/null 2>&1 &")
  end

  before(:context) { lab.sql(0, 'CREATE DATABASE x; CREATE TABLE x.t (a INT AUTO_INCREMENT PRIMARY KEY)') }

  it 'healthy: 0 for status, diagnose and the errand on all; read-only; a document; 80 columns (S1, K16)' do
    wait('all to be well') { look['code'] == 'Healthy' }
    status, out, = diagnosed('Healthy')
    expect([status, ctl(0, 'status').status, ctl(1, 'diagnose', '--once').status]).to eq([0, 0, 0])
    expect(out.lines.map(&:chomp).select { |l| l.size > 80 }).to eq([])
    expect(out).to include('What is wrong', 'Who has the newest data', 'live SQL', 'every member that is seen reaches every other')
    results = lab.run_errand('diagnose')
    expect(results.values.map(&:status)).to eq([0, 0, 0]), told(results)
    document = JSON.parse(ctl(2, 'diagnose', '--json').out)
    expect(document.keys).to match_array(%w[schema at from cluster exit_code diagnosis newest reach members])
    expect(document.values_at('schema', 'from', 'exit_code')).to eq([1, 'mysql/2', 0])
    expect(document['reach'].size).to eq(6)
  end

  it 'in colour on a terminal, in none with NO_COLOR or in a pipe, and again and again in place' do
    on_terminal = ->(env, words) { lab.exec(0, 'sh', '-c', "TERM=xterm #{env} timeout 8 script -qec '#{program} #{words}' /dev/null").out }
    expect(on_terminal.call('', 'diagnose')).to include("\e[1;32m")
    expect(on_terminal.call('NO_COLOR=1', 'diagnose')).not_to include("\e[")
    expect(ctl(0, 'diagnose').out).not_to include("\e[")
    watched = on_terminal.call('', 'diagnose --watch=1')
    expect(watched.scan("\e[H").size).to be >= 3
    expect(ctl(0, 'diagnose', '--watch=0').to_a).to match(['', a_string_including('1 to 3600 seconds'), 2])
    expect(ctl(0, 'diagnose', '--wach').status).to eq(2)
  end

  it 'no connection left: it lives (S9), and its agent goes on calling it fit for who is connected (I3)' do
    limit = value(2, 'SELECT @@max_connections')
    lab.sql(2, 'SET GLOBAL max_connections=10')
    hogs = (1..12).map { "(sleep 120 | #{client}) >/dev/null 2>&1 &" }.join(' ')
    lab.exec(2, 'sh', '-c', "#{hogs} true")
    status, out, codes = diagnosed('Degraded')
    expect([status, codes['mysql/2'], out]).to match([10, 'TooManyConnections', a_string_including('serves who is connected')])
    expect(http(2, '/', from: 0).first).to eq(200)
  ensure
    lab.exec(2, 'pkill', '-f', '^sleep 120$')
    wait('connections again') { lab.sql(2, "SET GLOBAL max_connections=#{limit || 500}").ok? }
  end

  it 'a global read lock: it applies nothing and holds nobody up (S9, S14)' do
    in_session(2, 'FLUSH TABLES WITH READ LOCK') do
      wait('the lock') { wsrep(2, 'desync_count') == '1' }
      write_many(0, 50)
      wait('a queue') { wsrep(2, 'local_recv_queue').to_i > 20 }
      status, out, codes = diagnosed('Degraded')
      expect([status, codes['mysql/2'], out]).to match([10, 'Donor', a_string_matching(/FLUSH TABLES WITH READ\s+LOCK/)])
    end
    wait_healthy
  end

  it 'a forgotten desync' do
    lab.sql(2, 'SET GLOBAL wsrep_desync=ON')
    status, out, codes = diagnosed('Degraded')
    expect([status, codes['mysql/2'], out]).to match([10, 'DesyncedLeftOn', a_string_including('wsrep_desync = ON')])
  ensure
    lab.sql(2, 'SET GLOBAL wsrep_desync=OFF')
  end

  it 'a slow member that makes all wait, sure after two looks (S2, S10, S14)' do
    lab.sql(2, "SET GLOBAL slave_run_triggers_for_rbr='YES'; SET SESSION wsrep_on=OFF; CREATE TRIGGER x.slow BEFORE INSERT ON x.t FOR EACH ROW SET @a=SLEEP(0.3)")
    # However busy this machine is, writes come quicker than that, and go on while it is looked.
    write_many(0, 400)
    wait('flow control') { wsrep(2, 'flow_control_requested') == 'true' }
    told = ctl(0, 'diagnose')
    expect([told.status, told.out]).to match([10, a_string_matching(%r{PrimaryWritesStalled.*all wait for mysql/2.*two looks, 5 s apart.*paused for \d\d %}m)])
  ensure
    lab.sql(2, "SET SESSION wsrep_on=OFF; DROP TRIGGER IF EXISTS x.slow; SET GLOBAL slave_run_triggers_for_rbr='NO'")
    wait('the queue to be gone') { wsrep(2, 'local_recv_queue') == '0' }
  end

  it 'a server that hangs (SIGSTOP): not dead, and not restarted (S9, H6)' do
    pid = lab.mariadbd(2)
    lab.exec(2, 'kill', '-STOP', pid.to_s)
    status, out, codes = diagnosed('Degraded', limit: 90)
    expect([status, codes['mysql/2'], out]).to match([10, 'SqlHung', a_string_matching(/2 of 3 members.*HANGS/m)])
  ensure
    lab.exec(2, 'kill', '-CONT', pid.to_s)
    wait_healthy
  end

  it 'only this observer is cut off from one: another passes its word on (S1, S5, S7, S8)' do
    lab.cut_link(0, 2)
    wait('mysql/0 not to reach mysql/2') { look['warnings'].any? { |w| w['code'] == 'ObserverCutOff' } }
    status, out, codes = diagnosed('Healthy')
    expect([status, codes['mysql/2'], out]).to match([0, 'ObserverPartitioned', a_string_including('mysql/1 reaches it, and passed its word on')])
    expect(ctl(1, 'diagnose').out).not_to include('ObserverCutOff')
  ensure
    lab.heal
    wait_healthy
  end

  it 'a one-way cut: who hears whom is told (S4, H10)' do
    lab.cut_link(0, 2, one_way: true)
    wait('the cut to be seen') { look(1)['warnings'].any? { |w| w['code'] == 'LinksCut' } }
    expect(ctl(1, 'diagnose').out).to match(%r{LinksCut: mysql/0 does not reach mysql/2})
  ensure
    lab.heal
    wait_healthy
  end

  it 'agents down: of one it is known that the database lives; of all nothing is known (S1, S8, S11)' do
    lab.monit(2, 'stop', 'galera-agent')
    wait('its agent to be down') { !lab.exec(2, 'pgrep', '-x', 'galera-agent').ok? }
    expect(diagnosed('AgentsUnreachable').first(2)).to match([10, a_string_including('only the agent of mysql/2')])
    lab.instances.each { |i| lab.monit(i, 'stop', 'galera-agent') }
    wait('all agents to be down') { lab.instances.none? { |i| lab.exec(i, 'pgrep', '-x', 'galera-agent').ok? } }
    expect(diagnosed('ObserverBlind').first(2)).to match([13, a_string_including('says nothing about the database')])
    expect(lab.run_errand('diagnose', instance: 1).values.first.status).to eq(13)
  ensure
    lab.instances.each { |i| lab.monit(i, 'start', 'galera-agent') }
    wait('agents again') { look['code'] == 'Healthy' }
  end

  # As for people who run Galera by systemd or Puppet: no supervisor is known, and nothing of ours remembers.
  small = lambda do |extra|
    { instance: 'db1', cluster: { name: 'galera', members: [{ name: 'db1', address: '127.0.0.1' }] },
      mariadb: { user: 'vcap', program: '/var/vcap/packages/mariadb/bin/mariadbd', defaults_file: '/var/vcap/jobs/mariadb/config/my.cnf',
                 data_dir: '/var/vcap/store/mariadb/data', socket: '/var/vcap/sys/run/mariadb/mysqld.sock' } }.merge(extra)
  end

  it 'outside BOSH, with nothing but a small file (G3, G4, G5, G15)', acts: true do
    lab.exec(1, 'sh', '-c', 'cat >/tmp/galera-ctl.yml', stdin: JSON.dump(small.call({})))
    outside = ->(*words) { ctl(1, '--config', '/tmp/galera-ctl.yml', *words).then { |r| [r.status, r.out.chomp, r.err.chomp] } }
    expect([outside.call('state'), outside.call('seqno')]).to match([[0, 'running', ''], [0, a_string_matching(/\A[1-9]\d*\z/), '']])
    expect(outside.call('diagnose')).to match([2, '', a_string_including('agents: port, username and password')])

    username, password = credentials(1)
    members = lab.instances.map { |i| { name: i, id: lab.vm(i).instance['id'], address: lab.address(i) } }
    asking = { runs_on: 'laptop', cluster: { name: 'galera', members: members }, agents: { port: 9200, username: username, password: password } }
    lab.exec(1, 'sh', '-c', 'cat >/tmp/ask.yml', stdin: JSON.dump(asking))
    told = ctl(1, '--config', '/tmp/ask.yml', 'diagnose')
    expect([told.status, told.out]).to match([0, a_string_matching(/Healthy.*From\s+laptop/m)])

    # A crash, and nobody who looks after it: the storage engine knows (G6).
    lab.monit(1, 'unmonitor', 'mariadb')
    lab.exec(1, 'pkill', '-KILL', '-x', 'galera-start')
    last = wsrep(1, 'last_committed').to_i
    lab.kill(1)
    wait('it to be gone') { lab.mariadbd(1).nil? }
    expect(grastate(1)['seqno']).to eq('-1')
    expect(outside.call('state')).to eq([0, 'stopped', ''])
    number = outside.call('seqno')
    expect(number).to match([0, a_string_matching(/\A\d+\z/), ''])
    expect(number[1].to_i).to be_between(last - 2, last)
  ensure
    lab.monit(1, 'start', 'mariadb')
    wait_healthy
  end

  it 'all down, one behind: proven, and what the errand would do; one more unseen: a person is needed (K7, G2, G10)', acts: true do
    lab.monit(2, 'unmonitor', 'mariadb')
    lab.kill(2)
    wait('mysql/2 to be out') { wsrep(0, 'cluster_size') == '2' }
    expect(lab.sql(0, 'INSERT INTO x.t VALUES ()')).to be_ok
    wait('both to remember the view of two') { [0, 1].all? { |i| remembers_view_of(i) == 2 } }
    total_outage
    status, out, codes = diagnosed('AllDownCrashed')
    expect([status, codes['mysql/2'], out]).to match([11, 'StaleMember', a_string_matching(%r{behind, in transactions: mysql/2 by \d+.*mysql/[01]\s+begins.*bosh run-errand\s+bootstrap}mi)])
    # All of the last view are there: whoever is not seen cannot be ahead.
    lab.power_off(2)
    expect(diagnosed('PartialKnowledge').first(2)).to match([11, a_string_including('LastViewComplete')])
    lab.power_on(2)
    # Its monit may not have kept in time that it watches the member again.
    lab.monit(2, 'start', 'mariadb')
    wait_phase('mysql/2', 'waiting')
    lab.power_off(1)
    expect(diagnosed('PartialKnowledge').first(2)).to match([12, a_string_matching(%r{What prevents more.*not seen: mysql/1.*Bootstrap while a\s+member is not seen}m)])
    expect([0, 2].map { |i| lab.mariadbd(i) }).to eq([nil, nil])
    lab.power_on(1)
    lab.monit(1, 'start', 'mariadb')
    wait('its agent') { look['code'] == 'AllDownCrashed' }
    expect(errand(0).values.map(&:status)).to eq([0])
    wait_healthy
  ensure
    lab.power_on(1, 2)
  end

  it 'the errand rejoin only tells, unless the instance and what it gives up are named (Q11)' do
    results = lab.run_errand('rejoin')
    expect(results.values.map { |r| [r.status, r.out] }).to all(match([0, a_string_including('there is nothing to rejoin')])), told(results)
    path = '/var/vcap/jobs/rejoin/config/decision.yml'
    decided = JSON.dump(delete: false, instance: 'mysql/1', abandon_position: '746e46f3-8f76-11e7-9c1c-a220eabab4ba:1')
    lab.exec(1, 'sh', '-c', "cp #{path} /tmp/decision && cat >#{path}", stdin: decided)
    refused = lab.run_errand('rejoin', instance: 1).values.first
    expect([refused.status, refused.words]).to match([3, a_string_matching(%r{Refused: .*mysql/1 stands at.*look again})])
  ensure
    lab.exec(1, 'sh', '-c', "[ ! -f /tmp/decision ] || cat /tmp/decision >#{path}")
  end
end
