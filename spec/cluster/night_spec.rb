# frozen_string_literal: true

require_relative 'support'

# What wakes an operator, made on real members: the right code, the right sentence, the right exit code, and nothing is
# done that should not be. mysql/2 has a disk of its own, a file with a file system, so that it can be slow.
RSpec.describe 'a situation at night', type: :cluster do
  ClusterSpec.with_lab(self, 'night', ops: ClusterSpec::SMALL + ClusterSpec::RSYNC,
                                      properties: { 'mariadb.auto_recovery' => 'errand', 'mariadb.join_stall_timeout' => '30s' })

  def client
    'setpriv --reuid=vcap --regid=vcap --init-groups mariadb --no-defaults --user=vcap --socket=/var/vcap/sys/run/mariadb/mysqld.sock'
  end

  let(:store) { '/var/vcap/store' }

  def look(from = 0) = JSON.parse(ctl(from, 'status', '--json').out).fetch('diagnosis')
  def pids = lab.instances.map { |i| lab.vm(i).up? && lab.mariadbd(i) }
  def lineages = lab.instances.map { |i| memory(i)['lineage']&.size }

  # Looks until one look says this of the cluster and of these members, and the next one tells it in these words and ends
  # with this code.
  def expect_diagnosis(code, status, members = {}, words: [], warns: [], from: 0, limit: 60)
    seen, found, said, missing = nil
    begin
      wait('the diagnosis', limit) do
        seen = look(from)
        found = [seen['code'], *seen['members'].map { |m| m.values_at('name', 'code') }, *seen['warnings'].map { |w| w['code'] }]
        next unless ([code, *members.to_a, *warns] - found).empty?
        said = ctl(from, 'status')
        missing = words.reject { |w| said.words[w] }
        said.status == status && missing.empty?
      end
    rescue LabParts::Failed
      raise "#{limit} s without #{code} #{members} #{warns} #{missing}; last was #{found}, #{said&.status}:\n#{ctl(from, 'diagnose').out}"
    end
    seen
  end

  # Nothing was started, stopped or begun meanwhile; where an example does that itself, still nothing was begun.
  around do |example|
    before = [pids, lineages]
    example.run
    now = [example.metadata[:acts] ? before.first : pids, example.metadata[:begins] ? before.last : lineages]
    expect(now).to eq(before) unless example.exception
  end

  # One that fails leaves the next ones a cluster that is well.
  after do |example|
    next unless example.exception
    lab.instances.each { |i| lab.exec(i, 'sh', '-c', 'pkill -x socat; nft "add table inet sst; delete table inet sst"') }
    heal_group
    put_right
  end

  after(:context) { FileUtils.rm_f(File.join(lab.dir, 'disk-2')) if lab }

  before(:context) do
    lab.sql(0, 'CREATE DATABASE x; CREATE TABLE x.t (a INT AUTO_INCREMENT PRIMARY KEY, b INT)')
    image = File.join(lab.dir, 'disk-2')
    lab.stop(2)
    made = lab.exec(2, 'sh', '-c', "truncate -s 2G #{image} && mkfs.ext4 -q #{image} && mkdir /tmp/new && mount -o loop #{image} /tmp/new && " \
                                   "cp -a /var/vcap/store/. /tmp/new && umount /tmp/new && mount -o loop #{image} /var/vcap/store")
    raise "no disk for mysql/2: #{made}" unless made.ok?
    lab.start(2)
  end

  # A frozen file system takes no write and no kill; whatever becomes of this process, it thaws within two minutes.
  def frozen(instance, while_awake)
    asleep, awake = IO.pipe
    script = "trap 'fsfreeze -u /var/vcap/store 2>/dev/null' EXIT; #{while_awake}"
    guard = Process.spawn('nsenter', '-t', lab.vm(instance).init, '-m', 'timeout', '-s', 'INT', '120', 'bash', '-c', script, in: asleep, pgroup: true)
    asleep.close
    yield
  ensure
    awake&.close
    Process.wait(guard) if guard
  end

  def hanging_disk(instance, &) = frozen(instance, 'fsfreeze -f /var/vcap/store && cat', &)

  # Every write waits for some of the four seconds.
  def slow_disk(instance, &)
    frozen(instance, 'while fsfreeze -f /var/vcap/store; do read -t 4; [ $? -gt 128 ] || exit; fsfreeze -u /var/vcap/store; sleep 0.2; done', &)
  end

  def write_many(instance, count)
    lab.exec(instance, 'sh', '-c', "(for n in $(seq #{count}); do echo 'INSERT INTO x.t (b) VALUES (1);'; done | #{client}) >/dev/null 2>&1 &")
  end

  # Two members' group ports; their agents go on seeing each other.
  def cut_group(at, from)
    table = 'add table inet group; add chain inet group in { type filter hook input priority 0; }; '
    rules = %w[dport sport].map { |port| "add rule inet group in ip saddr #{lab.address(from)} tcp #{port} 4567 drop" }.join('; ')
    expect(lab.exec(at, 'nft', table + rules)).to be_ok
  end

  def heal_group
    lab.instances.each { |i| lab.exec(i, 'nft', 'add table inet group; delete table inet group') if lab.vm(i).up? }
    lab.heal
  end

  it 'a slow disk: seen before it hurts, and named once all wait for it (S2, S14)' do
    slow_disk(2) do
      expect_diagnosis('Healthy', 0, warns: %w[SlowDisk], words: [%r{SlowDisk: a small write and its sync: mysql/2 took \d{4,} ms}])
      write_many(0, 100_000)
      expect_diagnosis('PrimaryWritesStalled', 10, { 'mysql/2' => 'FlowControlCulprit' },
                       words: [%r{all wait for mysql/2}, /its disk is slow: \d{4,} ms/, /Never bootstrap/])
      lab.exec(0, 'pkill', '-x', 'mariadb')
    end
    wait('the queue to be gone') { wsrep(2, 'local_recv_queue') == '0' && look['code'] == 'Healthy' }
  end

  it 'a disk that hangs: the whole file system is frozen, and neither kill nor restart is tried (S19)' do
    hanging_disk(2) do
      expect_diagnosis('PrimaryWritesStalled', 10, { 'mysql/2' => 'DiskFull', 'mysql/0' => 'MemberOk' },
                       words: [%r{disk of mysql/2 takes no writes}, /a small write has been hanging for \d\d s/, /Stop it if two others are Synced/])
    end
    wait_healthy
    wait('all to be well') { look['code'] == 'Healthy' }
  end

  it 'writes hang behind a DDL that waits for a lock: told with the session, and clients are sent elsewhere (T6)' do
    lab.sql(0, 'CREATE TABLE x.locked (a INT); CREATE TABLE x.free (a INT)')
    session = ->(statement) { "(echo '#{statement}' | #{client}) >/dev/null 2>&1 &" }
    lab.exec(0, 'sh', '-c', "#{session.call('LOCK TABLES x.locked READ; SELECT SLEEP(300)')} sleep 1; #{session.call('ALTER TABLE x.locked ADD b INT')}")
    expect_diagnosis('Degraded', 10, { 'mysql/0' => 'WritesStalled' },
                     words: [/writes have not got through for \d+ s: session \d+ \(ALTER\s+TABLE\)/, /may hold the lock: \d+ of vcap, Query/, /KILL/])
    expect(http(0, '/', auth: false)).to eq([503, 'writes-stalled'])
    expect(http(1, '/', auth: false).first).to eq(200)
  ensure
    lab.exec(0, 'pkill', '-x', 'mariadb')
    holder = "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT SLEEP(300)'"
    rows(0, holder).flatten.each { |id| lab.sql(0, "KILL #{id}") }
    wait('it to be over') { look['code'] == 'Healthy' }
  end

  it 'a member dies after each Synced: well at every look, and told (T12)', acts: true do
    3.times do
      lab.kill(1)
      wait('it to be gone') { !synced?(1) }
      wait_healthy
    end
    expect_diagnosis('Healthy', 0, warns: %w[DiesAgainAndAgain], words: [%r{mysql/1: mariadbd died \d+ times within \d+ s, last with signal: 9}])
    deaths = http(1, '/metrics').last[/^mariadb_galera_deaths_total (\d+)/, 1].to_i
    expect(deaths).to be >= 3
  end

  it 'no room for temporary files: told by their path, and clients are sent elsewhere; what differs since is told too (T13)' do
    tmp = '/var/vcap/data/mariadb/tmp'
    lab.sql(1, 'CREATE TABLE x.big (a INT PRIMARY KEY, b CHAR(32)); INSERT INTO x.big SELECT seq, MD5(seq) FROM x.seq_1_to_30000')
    wait('it to be everywhere') { value(0, 'SELECT COUNT(*) FROM x.big') == '30000' }
    full = "mount -t tmpfs -o size=1m none #{tmp} && chown vcap #{tmp} && dd if=/dev/zero of=#{tmp}/full bs=64k"
    lab.exec(0, 'sh', '-c', full)
    expect_diagnosis('Degraded', 10, { 'mysql/0' => 'DiskFull' }, words: [%r{#{tmp}: a small write fails: No space left}])
    wait('clients to be sent elsewhere', 45) { http(0, '/', auth: false) == [503, 'disk-fault'] }
    expect(lab.sql(0, 'ALTER TABLE x.big ADD INDEX ib (b)')).not_to be_ok
    lab.exec(0, 'sh', '-c', "umount #{tmp}")
    expect_diagnosis('Healthy', 0, warns: %w[DdlDiffers], words: [%r{mysql/0 ignored the failure of a DDL}])
  ensure
    lab.exec(0, 'sh', '-c', "umount #{tmp} 2>/dev/null; true")
  end

  # code => variable, what makes it so on mysql/2, what ends it, words
  { 'ReadOnly' => ['read_only', 'ON', 'OFF', /read_only is ON/],
    'RejectingQueries' => ['wsrep_reject_queries', 'ALL', 'NONE', /turns clients away/],
    'OutsideGalera' => ['wsrep_on', 'OFF', 'ON', /what is written to it reaches nobody/] }.each do |code, (variable, on, off, words)|
    it "#{code}: #{variable} = #{on} on one (S2)" do
      expect(lab.sql(2, "SET GLOBAL #{variable} = #{on}")).to be_ok
      expect_diagnosis('Degraded', 10, { 'mysql/2' => code }, words: [words])
    ensure
      expect(lab.sql(2, "SET GLOBAL #{variable} = #{off}")).to be_ok
      wait('it to be over') { look['code'] == 'Healthy' }
    end
  end

  it 'all are read-only: it lives, and no member takes clients; the errand does nothing (S2)' do
    lab.instances.each { |i| lab.sql(i, 'SET GLOBAL read_only = ON') }
    expect_diagnosis('PrimaryNoUsableMember', 10, lab.instances.to_h { |i| [i, 'ReadOnly'] }, words: [/no member of it takes clients/])
    expect(errand(0).values.map { |r| [r.status, r.out] }).to match([[0, a_string_including('No action')]])
  ensure
    lab.instances.each { |i| lab.sql(i, 'SET GLOBAL read_only = OFF') }
    wait('it to be over') { look['code'] == 'Healthy' }
  end

  it "the agent's account is gone: the server lives, and is not taken for down (S9)" do
    rename = ->(from, to) { "SET SESSION wsrep_on=OFF; RENAME USER #{from}@localhost TO #{to}@localhost;" }
    # Who is connected stays so.
    session = "echo '#{rename.call('vcap', 'away')}'; sleep 120; echo '#{rename.call('away', 'vcap')}'"
    lab.exec(2, 'sh', '-c', "((#{session}) | #{client}) >/dev/null 2>&1 &")
    expect_diagnosis('Degraded', 10, { 'mysql/2' => 'AccessDenied' }, words: [/error 1045/])
  ensure
    lab.exec(2, 'pkill', '-f', '^sleep 120$')
    wait('it to be over') { look['code'] == 'Healthy' }
  end

  it 'a trap is set: pc.ignore_sb (S4)' do
    lab.sql(1, "SET GLOBAL wsrep_provider_options='pc.ignore_sb=YES'")
    expect_diagnosis('Healthy', 0, warns: %w[PcIgnoreSbSet], words: [%r{pc.ignore_sb is on at mysql/1}])
  ensure
    lab.sql(1, "SET GLOBAL wsrep_provider_options='pc.ignore_sb=NO'")
  end

  it 'nobody looks after a member: it serves on, and is taken over as it is (H17)' do
    lab.monit(2, 'unmonitor', 'mariadb')
    lab.exec(2, 'pkill', '-KILL', '-x', 'galera-start')
    expect_diagnosis('Healthy', 0, warns: %w[SupervisorAbsent], words: [%r{without galera-start on mysql/2}, /monit start mariadb/])
  ensure
    lab.monit(2, 'start', 'mariadb')
    wait('a supervisor') { supervisor(2)&.dig('child', 'mode') == 'adopted' }
  end

  it 'the network is cut, link by link: told apart from each side; nothing is done, and it heals (Q1, S4, S5, S7, H10, H11)' do
    lab.cut(2)
    [0, 1].each { |i| cut_group(2, i) }
    expect_diagnosis('MinorityOnly', 12, { 'mysql/2' => 'NonPrimary' }, from: 2,
                     words: [%r{mysql/2 lives without quorum; 2 of the 3 members of the last primary view are not seen}, /Never bootstrap/])
    expect_diagnosis('Degraded', 10, { 'mysql/2' => 'MemberLost' }, warns: %w[OneMoreLossLosesQuorum],
                     words: [/2 of 3 members/, %r{neither from here nor by mysql/0, mysql/1}])
    lab.heal
    expect_diagnosis('Degraded', 10, { 'mysql/2' => 'MinorityPartitioned' }, warns: %w[LinksCut],
                     words: [/cut off from those that have one; it rejoins when the network is back/])
    cut_group(1, 0)
    expect_diagnosis('AllNonPrimaryPartitioned', 12, lab.instances.to_h { |i| [i, 'NonPrimary'] },
                     words: [/in several components, and none has a quorum; links between them are cut/, /Never bootstrap: the halves would part/])
    heal_group
    wait_healthy
  ensure
    heal_group
  end

  it 'evicted by the others: named, started anew by its supervisor, and back without a full copy', acts: true do
    others = pids.first(2)
    write(0, 'before the eviction')
    uuid = wsrep(2, 'gcomm_uuid')
    expect(lab.sql(0, "SET GLOBAL wsrep_provider_options='evs.evict=#{uuid}'")).to be_ok
    seen = expect_diagnosis('Degraded', 10, { 'mysql/2' => 'Evicted' }, warns: %w[EvictedMembers],
                            words: [/takes part again only after a restart, and galera-start restarts it/])
    expect(seen['warnings'].map { |w| w['code'] }).not_to include('LinksCut')
    wait_healthy
    expect(log(2, 'mariadb/mariadb.err.log')[/.*evicted.*\z/m]).to include('IST received')
    expect(pids.first(2)).to eq(others)
    expect_nothing_lost
  end

  it 'voted out: kept, and refused; given up by name, its copy stands still: given up, and begun anew (S10, Q10, Q11)', acts: true do
    write(0, 'before the vote')
    others = [lab.mariadbd(0), lab.mariadbd(2)]
    lab.sql(1, 'SET SESSION wsrep_on=OFF; DROP TABLE x.t')
    expect(lab.sql(0, 'INSERT INTO x.t (b) VALUES (1)')).to be_ok
    seen = expect_diagnosis('Degraded', 10, { 'mysql/1' => 'Inconsistent' },
                            words: [/voted it out: its data differs, and the minority may be right; it stays as it is until a person decides/])
    expect(seen['warnings'].map { |w| w['code'] }).not_to include('LinksCut')
    wait_saying('mysql/1', /the others voted this member out: its data differs/)
    lab.monit(1, 'restart', 'mariadb')
    wait_saying('mysql/1', /refuse to join/)
    expect_diagnosis('Degraded', 10, { 'mysql/1' => 'Inconsistent' }, words: [/its data differs, and is kept, for the minority may be right; a person decides/])
    expect(lab.mariadbd(1)).to be_nil
    choices = ctl(1, 'rejoin')
    expect([choices.status, choices.out]).to match([0, a_string_including('1. Give it up', 'the vote counts members')])
    expect(choices.out).not_to include('3. Go on')

    closed = 'add table inet sst; add chain inet sst in { type filter hook input priority 0; }; add rule inet sst in tcp dport 4444 drop'
    expect(lab.exec(1, 'nft', closed)).to be_ok
    expect(ctl(1, 'rejoin', '--abandon-data')).to be_ok
    expect_diagnosis('Degraded', 10, { 'mysql/1' => 'SstReceiving' })
    expect_diagnosis('Degraded', 10, { 'mysql/1' => 'SstStuck' },
                     words: [/nothing of its state has arrived for \d+ s; galera-start gives it up after 30 s, and begins anew/])
    wait('it to be given up') { log(1).match?(/nothing of its state transfer has arrived for 3\d s/) }
    lab.exec(1, 'nft', 'delete table inet sst')
    wait_healthy
    expect([lab.mariadbd(0), lab.mariadbd(2)]).to eq(others)
    expect_nothing_lost
    kept = lab.exec(1, 'sh', '-c', "ls #{store}/mariadb/data.abandoned-*/ledger; rm -rf #{store}/mariadb/data.abandoned-*")
    expect(kept.out).to include('entries.ibd')
  ensure
    lab.exec(1, 'nft', 'add table inet sst; delete table inet sst')
  end

  it 'voted out for what the others failed at, and given up as the page says while its mariadbd still runs: that ends first (storm 102, 1601)', acts: true do
    [0, 2].each { |i| lab.sql(i, 'SET SESSION wsrep_on=OFF; INSERT INTO x.t VALUES (-1, 3)') }
    lab.sql(1, 'INSERT INTO x.t VALUES (-1, 4)')
    expect_diagnosis('Degraded', 10, { 'mysql/1' => 'Inconsistent' }, words: [/It carried out what the others failed at: look what they failed with/])
    expect(ctl(1, 'rejoin').words).to include('carried out what the others failed at', 'clients were told is committed')
    expect(lab.mariadbd(1)).not_to be_nil
    given_up = ctl(1, 'rejoin', '--abandon-data')
    expect([given_up.status, given_up.words]).to match([0, a_string_including('is ended first', 'Given up')])
    wait_healthy
    expect(value(1, 'SELECT b FROM x.t WHERE a = -1')).to eq('3')
    lab.exec(1, 'sh', '-c', "rm -rf #{store}/mariadb/data.abandoned-*")
  end

  it 'a member that dies at every start: a loop, its reason, and ever longer pauses; once mended it is back', acts: true do
    lab.stop(1)
    lab.exec(1, 'sh', '-c', '(socat TCP-LISTEN:4567,fork,reuseaddr /dev/null) >/dev/null 2>&1 &')
    lab.start(1, await: false)
    expect_diagnosis('Degraded', 10, { 'mysql/1' => 'MemberCrashLoop' },
                     words: [/mariadbd died \d times in a row before it was Synced, at last with: exit/])
    wait_saying('mysql/1', /wait \S+: mariadbd died \d times in a row/)
    lab.exec(1, 'pkill', '-x', 'socat')
    lab.monit(1, 'restart', 'mariadb')
    wait_healthy
  end

  it 'one after the other goes: down, one left, all down; a person is told each time what to do (Q4, G2)', acts: true, begins: true do
    write(0, 'before all stop')
    lab.stop(2)
    expect_diagnosis('Degraded', 10, { 'mysql/2' => 'AgentUnreachable' }, words: [/its VM answers.*its jobs do not run/])
    lab.monit(2, 'start', 'galera-agent')
    expect_diagnosis('Degraded', 10, { 'mysql/2' => 'MemberDown' }, warns: %w[OneMoreLossLosesQuorum], words: [/2 of 3 members/])
    lab.stop(1, skip_drain: true)
    expect_diagnosis('DegradedToOne', 10, words: [%r{mysql/0 is all that is left}, /Never stop this member: nobody else serves/])
    lab.monit(0, 'unmonitor', 'mariadb')
    lab.kill(0)
    wait('mysql/0 to be down') { supervisor(0).nil? }
    lab.exec(0, 'truncate', '-s', '0', data(0, 'gvwstate.dat'))
    lab.monit(1, 'start', 'galera-agent')
    start_all
    lab.instances.each { |i| wait_phase(i, 'waiting') }
    expect_diagnosis('AllDownMixed', 11, { 'mysql/0' => 'EmptyGvwstate', 'mysql/2' => 'StaleMember' },
                     words: [/some were stopped cleanly, some were not/, /bosh run-errand bootstrap/, /Never start a member with --wsrep-new-c/])
    expect(pids).to eq([nil, nil, nil])
    results = errand(0)
    expect(results.values.map(&:status)).to eq([0]), told(results)
    wait_healthy
    expect_nothing_lost

    lab.stop
    lab.instances.each { |i| lab.monit(i, 'start', 'galera-agent') }
    start_all
    lab.instances.each { |i| wait_phase(i, 'waiting') }
    expect_diagnosis('AllDownClean', 11, words: [/all were stopped cleanly/, /bosh run-errand bootstrap/])
    expect(pids).to eq([nil, nil, nil])
    order = { order: '00000000-0000-4000-8000-000000000007', owner: 'a test', reason: 'to look', seconds: 60 }
    expect(http(2, '/v1/hold', method: 'POST', body: order).first).to eq(200)
    expect_diagnosis('RecoveryInProgress', 11, { 'mysql/2' => 'Held' }, words: [/an order holds members/, /held by a test for \d+ s more: to look/])
    expect(http(2, '/v1/release', method: 'POST', body: order.slice(:order)).first).to eq(200)
    expect(errand(1).values.map(&:status)).to eq([0])
    wait_healthy
    expect_nothing_lost
  end

  it 'two of three die: the survivor is without quorum, and nothing is promoted unasked; back with their saved views (Q3)', acts: true do
    write(0, 'before two die')
    [1, 2].each { |i| lab.monit(i, 'unmonitor', 'mariadb') }
    [1, 2].map { |i| Thread.new { lab.kill(i) } }.each(&:join)
    survivor = lab.mariadbd(0)
    expect_diagnosis('SurvivorNonPrimary', 12, { 'mysql/0' => 'NonPrimary' },
                     words: [%r{mysql/0 lives and lost its quorum when mysql/1, mysql/2 went down}])
    start_all([1, 2])
    wait_healthy
    expect(lab.mariadbd(0)).to eq(survivor)
    expect_nothing_lost
  end
end
