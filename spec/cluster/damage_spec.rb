# frozen_string_literal: true

require_relative 'support'

RSpec.describe 'damaged and misleading evidence', type: :cluster do
  ClusterSpec.with_lab(self, 'damage', ops: ClusterSpec::SMALL + ClusterSpec::RSYNC)

  after do |example|
    next if example.exception
    lab.power_on(*lab.instances)
    start_all
    wait_healthy(limit: 200)
    expect_nothing_lost
    expect(history).to eq(@history), 'the cluster is on another history now'
  end

  before do
    write(0, "before #{SecureRandom.hex(4)}")
    @history = history
  end

  def history = value(0, "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'wsrep_cluster_state_uuid'")
  def run(instance, *options) = lab.exec(instance, '/var/vcap/jobs/bootstrap/bin/run', *options)

  # Kills these while an ALTER TABLE runs everywhere: Galera keeps a zeroed grastate.dat during a DDL.
  def kill_during_ddl(instances)
    lab.sql(0, 'DROP TABLE IF EXISTS ledger.slow')
    lab.sql(0, "CREATE TABLE ledger.slow (a INT AUTO_INCREMENT PRIMARY KEY, b CHAR(20)); INSERT INTO ledger.slow (b) SELECT 'x' FROM ledger.seq_1_to_1200")
    # Each row costs some milliseconds.
    alter = Thread.new { lab.sql(0, 'ALTER TABLE ledger.slow ADD COLUMN c INT DEFAULT (LENGTH(SHA2(REPEAT(b, 1000000), 512))), ALGORITHM=COPY', limit: 60) }
    LabParts.wait('the DDL to run everywhere', 20, pause: 0.01) { lab.instances.all? { |i| zeroed?(i) } }
    instances.map { |i| Thread.new { lab.exec(i, 'pkill', '-KILL', '-x', 'mariadbd') } }.each(&:join)
    # Before a supervisor has it join again.
    late = instances.reject { |i| zeroed?(i) }
    alter.value
    expect(late).to eq([]), 'the kill came too late'
  end

  # Read from outside: the DDL is over before a command in the VM would be.
  def zeroed?(instance) = File.read(lab.vm(instance).vcap('store/mariadb/data/grastate.dat')).include?('00000000-0000-0000-0000-000000000000')

  it 'power is lost before a full copy is on disk: it is copied once more, and nothing is begun from it' do
    write(0, 'before the copy')
    # What is copied is on disk within a moment, so the memory is made to tell of a copy in a boot before, not yet there.
    copied_in_another_boot = lambda do
      file = lab.vm(0).vcap('store', 'mariadb', 'galera', 'memory.json')
      memory = JSON.parse(File.read(file))
      memory['content']['copied'] = SecureRandom.uuid
      File.write(file, JSON.dump(memory))
    end
    copies = -> { log(0, 'mariadb/mariadb.err.log').scan('SST completed on joiner').size }
    before = copies.call
    lab.power_off(0)
    copied_in_another_boot.call
    lab.power_on(0)
    wait_healthy
    expect(log(0)).to include('its files may be torn')
    expect(copies.call).to eq(before + 1)
    wait('what was copied to be on disk') { memory(0)['copied'].nil? }
    lab.power_off(*lab.instances)
    copied_in_another_boot.call
    forget_views_of_the_dead
    lab.power_on(*lab.instances)
    wait_healthy
    # Of equal ones the first would begin.
    expect(lineage(1).last.first).to eq('mysql/1')
    expect(copies.call).to eq(before + 2)
    expect_nothing_lost
  end

  # Of VMs that are off.
  def forget_views_of_the_dead
    lab.members.each { |i| FileUtils.rm_f(lab.vm(i).vcap('store', 'mariadb', 'data', 'gvwstate.dat')) }
  end

  it 'power is lost while tables without a log are written: the upgrade step makes them anew, empty, on this member alone' do
    topics = value(0, 'SELECT COUNT(*) FROM mysql.help_topic')
    lab.monit(1, 'unmonitor', 'mariadb')
    lab.exec(1, 'pkill', '-KILL', '^(mariadbd|galera-start)$')
    torn = ': >help_topic.MAI; : >help_relation.frm; head -c 8192 /dev/zero >column_stats.MAI'
    expect(lab.exec(1, 'sh', '-ec', "cd #{data(1)}/mysql; #{torn}; echo 10.6.1-MariaDB >../mysql_upgrade_info")).to be_ok
    lab.monit(1, 'start', 'mariadb')
    wait_healthy
    wait('the upgrade to be done') { supervisor(1)['unsettled'].nil? }
    expect(log(1)).to match(/upgrade.torn_tables .*dropped="column_stats, help_relation, help_topic"/)
    expect(rows(1, 'CHECK TABLE mysql.help_topic, mysql.help_relation, mysql.column_stats').map(&:last)).to all(eq('OK'))
    expect(value(0, 'SELECT COUNT(*) FROM mysql.help_topic')).to eq(topics)
  end

  it 'a crash of all during an ALTER TABLE: never a cluster on the nil history; a person goes on, nothing is lost' do
    lab.instances.each { |i| lab.monit(i, 'unmonitor', 'mariadb') }
    kill_during_ddl(lab.instances)
    start_all
    lab.instances.each { |i| wait_saying(i, /grastate.dat knows no history.*what the storage engine has goes to #{@history}:\d+.*--node mysql\/\d/) }
    expect(lab.instances.map { |i| lab.mariadbd(i) }).to eq([nil, nil, nil])
    told = ctl(0, 'status', '--json')
    expect([told.status, JSON.parse(told.out).dig('diagnosis', 'code')]).to eq([12, 'NoRecoverablePosition'])
    node = supervisor(0)['detail'][%r{--node (mysql/\d)}, 1]
    accept = supervisor(0)['detail'].scan(/--accept-missing mysql\/\d/).flat_map(&:split)
    forced = run(0, '--node', node, *accept)
    expect([forced.status, forced.out]).to match([0, a_string_including('Recovered:')]), forced.to_s
  end

  # Galera writes its file before the storage engine is shut down, which may not have all of that on disk then.
  it 'killed on its way out, after grastate.dat was written: what the disk has counts, and Galera is told' do
    lab.monit(1, 'unmonitor', 'mariadb')
    lab.exec(1, 'pkill', '-KILL', 'galera-start|mariadbd')
    wait('both to be gone') { lab.mariadbd(1).nil? }
    had = lab.exec(1, 'cat', '/var/vcap/store/mariadb/galera/memory.json').out[/"last_position":"[^:]+:(\d+)"/, 1].to_i
    lab.exec(1, 'sed', '-i', "s/^seqno: .*/seqno:   #{had + 500}/", '/var/vcap/store/mariadb/data/grastate.dat')
    lab.start(1)
    wait_healthy
    found = log(1).lines.grep(/position\.f/).last(2)
    expect(found).to match([/position.fell_back .*had=\S+:#{had + 500}/, /position.found .*\(recovered\)/])
    expect(log(1, 'mariadb/mariadb.err.log').lines.grep(/Found saved state/).last).to include(':-1,')
  end

  it 'a crash of one during an ALTER TABLE: it comes back by a full copy, by itself' do
    kill_during_ddl(['mysql/2'])
    wait_healthy
    expect(log(2)).to include('its own state cannot be gone on from, and up to')
  end

  { 'missing' => 'rm -f', 'empty' => 'truncate -s 0', 'garbage' => 'dd if=/dev/urandom bs=90 count=1 status=none of=' }.each do |what, command|
    it "grastate.dat is #{what} on one after a power loss: no new history, it comes back by a full copy" do
      all_down
      forget_views
      lab.exec(1, 'sh', '-c', what == 'garbage' ? "#{command}#{data(1, 'grastate.dat')}" : "#{command} #{data(1, 'grastate.dat')}")
      start_all
      wait_healthy
      expect(lineage(0).last).to match([%r{mysql/[02]}, 'EveryMemberSeen'])
    end
  end

  it 'grastate.dat is missing, empty and garbage on one each: no new history; a person goes on' do
    all_down
    forget_views
    remove(0, 'grastate.dat')
    lab.exec(1, 'truncate', '-s', '0', data(1, 'grastate.dat'))
    lab.exec(2, 'dd', 'if=/dev/urandom', 'bs=90', 'count=1', 'status=none', "of=#{data(2, 'grastate.dat')}")
    start_all
    wait_saying('mysql/0', %r{--node mysql/0})
    sleep 2
    expect(lab.instances.map { |i| lab.mariadbd(i) }).to eq([nil, nil, nil])
    refused = run(1)
    expect([refused.status, refused.out]).to match([3, a_string_including('the furthest cannot be made primary by itself', '--node mysql/0')])
    forced = run(1, '--node', 'mysql/0')
    expect([forced.status, forced.out]).to match([0, a_string_including('Recovered: mysql/0 was bootstrapped')]), forced.to_s
  end

  it 'a clean grastate.dat that a failed join elsewhere turned to -1' do
    lab.stop
    expect(grastate(1)['seqno']).to match(/\A\d+\z/)
    lab.exec(1, 'sh', '-c', 'setpriv --reuid=vcap --regid=vcap --init-groups /var/vcap/packages/mariadb/bin/mariadbd --defaults-file=/var/vcap/jobs/mariadb/config/my.cnf >/dev/null 2>&1', limit: 90)
    expect(grastate(1)['seqno']).to eq('-1')
    lab.start(nil, await: false)
  end

  it 'an empty and a torn gvwstate.dat never stop a start (K17)' do
    all_down
    lab.exec(0, 'truncate', '-s', '0', data(0, 'gvwstate.dat'))
    lab.exec(1, 'truncate', '-s', '80', data(1, 'gvwstate.dat'))
    start_all
    wait_healthy
  end

  it 'a torn memory on one: nothing is begun without it, and it says so' do
    all_down
    forget_views
    kept = lab.exec(1, 'cat', '/var/vcap/store/mariadb/galera/memory.json').out
    lab.exec(1, 'truncate', '-s', '40', '/var/vcap/store/mariadb/galera/memory.json')
    start_all
    wait_saying('mysql/0', /what it remembers cannot be read/)
    sleep 2
    expect(lab.instances.map { |i| lab.mariadbd(i) }).to eq([nil, nil, nil])
    lab.exec(1, 'sh', '-c', 'cat > /var/vcap/store/mariadb/galera/memory.json', stdin: kept)
  end

  # The supervisor and its mariadbd live at another time.
  def start_at(instance, jump)
    library = Dir['/usr/lib/*/faketime/libfaketime.so.1'].first or raise 'faketime is not installed'
    started = lab.exec(instance, 'env', "LD_PRELOAD=#{library}", "FAKETIME=#{jump}", '/var/vcap/jobs/mariadb/bin/start')
    expect(started).to be_ok, started.to_s
  end

  it 'the memory of all is lost: nothing is begun by itself; the errand does' do
    all_down
    forget_views
    lab.instances.each { |i| lab.exec(i, 'rm', '/var/vcap/store/mariadb/galera/memory.json') }
    start_all
    wait_saying('mysql/0', /remembers no incarnation.*bosh run-errand bootstrap \(EveryMemberSeen/)
    sleep 2
    expect(lab.instances.map { |i| lab.mariadbd(i) }).to eq([nil, nil, nil])
    results = errand
    expect(results.values.map(&:status)).to eq([0, 0, 0]), told(results)
  end

  it 'the clock of one member jumps, forward and back' do
    ['+40d', '-40d'].each do |jump|
      lab.monit(1, 'unmonitor', 'mariadb')
      # BOSH has monit look after no job of a VM that it drains.
      lab.drain(1)
      lab.monit(1, 'start', 'galera-agent')
      start_at(1, jump)
      wait_healthy
      expect(log(1).lines.last).not_to start_with(Time.now.utc.strftime('%Y-%m-%d')), 'the clock did not jump'
      all_down
      forget_views
      lab.instances.each { |i| i == 'mysql/1' ? start_at(i, jump) : lab.monit(i, 'start', 'mariadb') }
      wait_healthy
      expect_nothing_lost
    end
  end

  { 'empty' => 'truncate -s 0', 'garbage' => 'dd if=/dev/urandom bs=4096 count=6 status=none of=' }.each do |what, command|
    it "T11: a log of two-phase commits that is #{what}: the position is told all the same, and the log is kept aside" do
      all_down
      at = '/var/vcap/store/mariadb/data/tc.log'
      expect(lab.exec(2, 'sh', '-c', "test -s #{at} && #{command}#{' ' unless command.end_with?('=')}#{at}")).to be_ok
      start_all
      wait_healthy
      expect(log(2).lines.grep(/tc_log.set_aside/).last).to include('torn')
      expect(lab.exec(2, 'ls', "#{at}.damaged")).to be_ok
      lab.exec(2, 'rm', "#{at}.damaged")
    end
  end

  it 'the disk of one member is full: it stands and says so, the others serve, and it comes back' do
    lab.stop(2)
    lab.exec(2, 'sh', '-c', 'cp -a /var/vcap/store /tmp/store && mount -t tmpfs -o size=400m tmpfs /var/vcap/store && cp -a /tmp/store/. /var/vcap/store && rm -rf /tmp/store')
    lab.start(2, await: false)
    wait_healthy
    lab.exec(2, 'pkill', '-KILL', '-x', 'mariadbd')
    lab.monit(2, 'unmonitor', 'mariadb')
    wait('the supervisor to be gone') { supervisor(2).nil? }
    lab.exec(2, 'dd', 'if=/dev/zero', 'of=/var/vcap/store/full', 'bs=1M', limit: 60)
    write(0, 'while the disk of mysql/2 is full')
    lab.monit(2, 'start', 'mariadb')
    wait('the error to be told') { log(2).lines.last(30).join.match?(/No space left|ended with|no position/) }
    expect([0, 1].all? { |i| synced?(i) }).to be(true)
    write(1, 'still, and again')
    lab.exec(2, 'rm', '/var/vcap/store/full')
    lab.monit(2, 'start', 'mariadb')
    wait_healthy(limit: 200)
    expect_nothing_lost
    # Back onto the disk that outlives this example.
    lab.stop(2)
    lab.exec(2, 'sh', '-c', 'cp -a /var/vcap/store /tmp/store && umount /var/vcap/store && rm -rf /var/vcap/store/* && cp -a /tmp/store/. /var/vcap/store && rm -rf /tmp/store')
    lab.start(2, await: false)
  end
end
