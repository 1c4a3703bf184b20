# frozen_string_literal: true

require_relative 'support'

# What was believed and not known: each example takes one of these beliefs and the acknowledged commits that it cost.
RSpec.describe 'what was acknowledged is not lost', type: :cluster do
  ClusterSpec.with_lab(self, 'lost', ops: ClusterSpec::SMALL)

  before { write(0, "before #{SecureRandom.hex(4)}") }

  # Each begins from a cluster of its own making, whatever became of the one before.
  after do |example|
    keep_logs if example.exception
    lab.members.each { |i| lab.exec(i, 'pkill', '-CONT', '-x', 'galera-agent') if lab.vm(i).up? }
    put_right
  end

  def force(on, node, *accepted, words: [])
    lab.exec(on, '/var/vcap/jobs/bootstrap/bin/run', '--node', node, *accepted.flat_map { |name| ['--accept-missing', name] }, *words, limit: 200)
  end

  def by_hand(instance, *options)
    lab.exec(instance, 'sh', '-c', 'setsid setpriv --reuid=vcap --regid=vcap --init-groups /var/vcap/packages/mariadb/bin/mariadbd ' \
                                   "--defaults-file=/var/vcap/jobs/mariadb/config/my.cnf #{options.join(' ')} >/dev/null 2>&1 </dev/null &")
  end

  # A session that holds what is said, until it is killed.
  def session(instance, statement)
    Thread.new { lab.sql(instance, "#{statement}; DO SLEEP(100)", limit: 120) }
    wait("#{statement} on mysql/#{instance}") { rows(instance, "SELECT id FROM information_schema.processlist WHERE info LIKE 'DO SLEEP%'").any? }
  end

  def entries(instance) = rows(instance, 'SELECT note FROM ledger.entries').flatten

  it 'A1: a member whose join broke off before anything came has all of its data, and is a stake' do
    lab.stop(1)
    write(2, "without mysql/1 #{SecureRandom.hex(4)}")
    lab.stop(2)
    # The donor is found, and sends nothing.
    frozen = Thread.new { lab.exec(0, 'sh', '-c', 'until pkill -STOP -f [w]srep_sst_; do sleep 0.01; done', limit: 60) }
    lab.start(2, await: false)
    frozen.join
    wait('grastate.dat to be zeroed, as Galera does when it asks for state') { grastate(2)['seqno'] == '-1' && wsrep(0, 'local_state_comment') =~ /Donor/ }
    lab.power_off(0)
    lab.kill(2)
    lab.start(1, await: false)
    wait_saying('mysql/1', %r{--node mysql/2 --accept-missing mysql/0}, 120)
    refused = force(1, 'mysql/1', 'mysql/0')
    expect([refused.status, refused.words]).to match([3, a_string_including('mysql/2')]), refused.to_s
    back = force(1, 'mysql/2', 'mysql/0')
    expect(back.words).to include('Recovered in part: mysql/2 was bootstrapped'), back.to_s
    wait_healthy_among([1, 2])
    expect_nothing_lost([1, 2])
    # Alone it committed nothing but a view change; whatever it stands at, a person gives that up.
    lab.power_on(0)
    lab.start(0, await: false)
    wait_saying('mysql/0', /AheadOfCluster|OtherHistory/)
    expect(ctl(0, 'rejoin', '--abandon-data', '--delete')).to be_ok
    wait_healthy
  end

  it 'A2: the others lag behind a member that comes back: it waits, and is not given up for that' do
    [0, 1].each { |i| session(i, 'LOCK TABLES ledger.entries READ') }
    10.times { |n| write(2, "acknowledged by mysql/2 alone #{n} #{SecureRandom.hex(4)}") }
    expect([0, 1].map { |i| (ledger - entries(i)).size }).to all(be >= 10)
    lab.kill(2)
    wait_saying('mysql/2', /has applied \d+ so far/)
    expect(memory(2)['superseded']).to be_falsey
    lab.power_off(*lab.instances)
    lab.power_on(*lab.instances)
    start_all
    wait_healthy(limit: 180)
    expect_nothing_lost
  end

  it 'A3: members that know nothing are no witnesses: the left-out one does not begin beside a cluster that a person made' do
    [1, 2].each { |i| lab.stop(i) }
    write(0, 'left out with mysql/0')
    ledger.pop
    lab.power_off(0)
    [1, 2].each { |i| lab.start(i, await: false) }
    wait_saying('mysql/2', /not seen: mysql\/0/)
    expect(force(1, 'mysql/2', 'mysql/0').words).to include('Recovered in part')
    wait_healthy_among([1, 2])
    write(1, "of the new cluster #{SecureRandom.hex(4)}")
    # Its agent hangs, and the other one has a new disk: nobody who is seen knows of the new cluster.
    lab.exec(1, 'pkill', '-STOP', '-x', 'galera-agent')
    lab.exec(2, 'pkill', '-STOP', '-x', 'galera-agent')
    lab.power_on(0)
    lab.start(0, await: false)
    wait_saying('mysql/0', /MayBeAlive/)
    expect(lab.mariadbd(0)).to be_nil
    recreated = Thread.new { lab.recreate(2, lose_disk: true) }
    wait('mysql/2 to wait with a new disk') { lab.vm(2).up? && supervisor(2)&.fetch('phase', nil) == 'waiting' }
    # It decides once a second.
    from = supervisor(0)['phase_seconds']
    wait('fifteen more rounds of mysql/0') { lab.mariadbd(0) || supervisor(0)['phase_seconds'] >= from + 15 }
    expect(lab.mariadbd(0)).to be_nil
    lab.exec(1, 'pkill', '-CONT', '-x', 'galera-agent')
    # What the new disk had, and mysql/0 has besides, a person gives up by name.
    wait_saying('mysql/1', /has no data, and may have had more/)
    back = force(1, 'mysql/1', 'mysql/0', 'mysql/2')
    expect(back.words).to include('Recovered'), back.to_s
    recreated.join
    wait_healthy_among([1, 2])
    wait_saying('mysql/0', /AheadOfCluster|OtherHistory/)
    expect(ctl(0, 'rejoin', '--abandon-data', '--delete')).to be_ok
    wait_healthy
    expect_nothing_lost
  end

  it 'A5: scale-in does not take the newest data away while nobody is primary' do
    lab.stop(0)
    write(1, "not on mysql/0 #{SecureRandom.hex(4)}")
    [1, 2].each { |i| lab.monit(i, 'unmonitor', 'mariadb') }
    [1, 2].map { |i| Thread.new { lab.exec(i, 'pkill', '-KILL', '-x', 'mariadbd') } }.each(&:join)
    wait('supervisors to be gone') { [1, 2].none? { |i| supervisor(i) } }
    lab.power_off(2)
    start_all([1])
    lab.start(0, await: false)
    [0, 1].each { |i| wait_saying("mysql/#{i}", /not seen: mysql\/2/) }
    refused = lab.exec(1, '/var/vcap/packages/mariadb-galera/bin/galera-hook', '--config', '/var/vcap/jobs/mariadb/config/member.yml', 'pre-stop')
    deleted = lab.exec(1, 'env', 'BOSH_INSTANCE_NEXT_STATE=delete', 'BOSH_DEPLOYMENT_NEXT_STATE=keep', '/var/vcap/jobs/mariadb/bin/pre-stop')
    expect(deleted.ok?).to be(false), "#{refused}\n#{deleted}"
    expect(deleted.words).to include('its disk would be deleted')
    lab.power_on(2)
    start_all([2])
    wait_healthy
    expect_nothing_lost
  end

  { 'an empty address' => ["'--wsrep-cluster-address=gcomm://'", true], 'pc.wait_prim=no' => ["'--wsrep-cluster-address=gcomm://?pc.wait_prim=no'", false] }.each do |what, (option, flag)|
    it "T2: begun by hand with #{what} is a beginning: who was ahead is not taken back in silence" do
      [0, 1].each { |i| lab.stop(i) }
      4.times { |n| write(2, "only on mysql/2 #{n} #{SecureRandom.hex(4)}") }
      lab.stop(2)
      lab.exec(1, 'sed', '-i', 's/safe_to_bootstrap: 0/safe_to_bootstrap: 1/', data(1, 'grastate.dat')) if flag
      by_hand(1, option)
      wait('mysql/1 to be primary') { synced?(1) }
      lab.start(1, await: false)
      30.times { |n| lab.sql(1, "INSERT INTO ledger.entries VALUES ('fork #{n} #{SecureRandom.hex(4)}')") }
      lab.start(0, await: false)
      lab.start(2, await: false)
      wait_saying('mysql/2', /AheadOfCluster/)
      # What was begun by hand is on both: a member that had not got it yet would have nothing to lose.
      wait('mysql/0 to have joined that') { synced?(0) }
      # A person goes on from what was acknowledged.
      [0, 1].each { |i| lab.stop(i, skip_drain: true) }
      wait_saying('mysql/2', /not seen: mysql\/0/)
      expect(force(2, 'mysql/2', 'mysql/0', 'mysql/1').words).to include('Recovered in part: mysql/2')
      [0, 1].each do |i|
        lab.start(i, await: false)
        wait_saying("mysql/#{i}", /AheadOfCluster/)
        expect(ctl(i, 'rejoin', '--abandon-data', '--delete')).to be_ok
      end
      wait_healthy
      expect_nothing_lost
    end
  end

  it 'F2: what one member began alone, and took away with it, is waited for by those that were told' do
    [2, 1, 0].each { |i| lab.stop(i) }
    lab.power_off(0)
    [1, 2].each { |i| lab.start(i, await: false) }
    wait_saying('mysql/2', /not seen: mysql\/0/)
    # As the errand does, up to where the others would be let join: whoever does it is lost with mysql/1.
    order = SecureRandom.uuid
    held = { order: order, owner: 'bootstrap errand on mysql/1', reason: 'F2', seconds: 20 }
    beginning = { id: SecureRandom.uuid, by: { name: 'mysql/1', id: lab.vm(1).instance['id'] } }
    begin_at = { id: beginning[:id], expect: supervisor(1)['position']['position'], proof: 'Forced', forced: true, left_out: ['mysql/0'], past: memory(1)['lineage'] }
    [1, 2].each { |i| expect(http(i, '/v1/hold', method: 'POST', body: held).first).to eq(200) }
    expect(http(2, '/v1/announce', method: 'POST', body: { order: order, beginning: beginning })).to match([200, a_string_including('remembered')])
    expect(http(1, '/v1/start', method: 'POST', body: { order: order, mode: 'bootstrap', begin: begin_at }).first).to eq(202)
    wait('mysql/1 to be primary, alone') { synced?(1) }
    write(1, "by mysql/1 alone #{SecureRandom.hex(4)}")
    # The hold ends by itself, when nothing that mysql/2 asked before is on its way any more.
    lab.power_off(1)
    lab.power_on(0)
    lab.start(0, await: false)
    # mysql/0 was the last to leave, as far as it knows, and most members are seen.
    told = /mysql\/1 \(it was ordered to begin the cluster anew, and may have committed since\)/
    [0, 2].each { |i| wait_saying("mysql/#{i}", told, 90) }
    expect([0, 2].map { |i| lab.mariadbd(i) }).to eq([nil, nil])
    lab.power_on(1)
    lab.start(1, await: false)
    # It goes on from its own view, and who was left out has a view change of its own at the same number.
    wait_healthy_among([1, 2])
    wait_saying('mysql/0', /AheadOfCluster/)
    expect(ctl(0, 'rejoin', '--abandon-data', '--delete')).to be_ok
    wait_healthy
    expect_nothing_lost
  end

  it 'T4: a member that was voted out is kept, also where its VM died before anybody had noticed' do
    lab.sql(0, 'CREATE TABLE IF NOT EXISTS ledger.vote (a INT PRIMARY KEY)')
    wait('the table everywhere') { lab.instances.all? { |i| lab.sql(i, 'SELECT * FROM ledger.vote').ok? } }
    # The others lack the table: the one that acknowledges is the one that is voted out.
    [1, 2].each { |i| lab.sql(i, 'SET SESSION wsrep_on=OFF; DROP TABLE ledger.vote') }
    lab.sql(0, 'INSERT INTO ledger.vote VALUES (1)')
    wait('the vote') { log(0, 'mariadb/mariadb.err.log').include?('Vote') }
    lab.power_off(0)
    lab.power_on(0)
    lab.start(0, await: false)
    wait_saying('mysql/0', /voted/)
    expect(lab.exec(0, 'ls', data(0, 'ledger')).out).to include('vote.ibd')
    expect(ctl(0, 'rejoin', '--abandon-data')).to be_ok
    wait_healthy
    expect(lab.exec(0, 'sh', '-c', 'ls -d /var/vcap/store/mariadb/data.abandoned-*').out).not_to be_empty
    lab.exec(0, 'sh', '-c', 'rm -rf /var/vcap/store/mariadb/data.abandoned-*')
    expect_nothing_lost
  end

  it 'T9: positions that fell back are told, prove nothing, and a person goes on from them' do
    # Disks that forget: what they had a moment ago is put back.
    lab.power_off(*lab.instances)
    disks = lab.instances.map { |i| lab.vm(i).vcap('store', 'mariadb', 'data') }
    disks.each { |disk| expect(system('cp', '-a', disk, "#{disk}.before")).to be(true) }
    lab.power_on(*lab.instances)
    start_all
    wait_healthy
    30.times { |n| lab.sql(n % 3, "INSERT INTO ledger.entries VALUES ('forgotten by every disk #{n} #{SecureRandom.hex(4)}')") }
    before = wsrep(0, 'last_committed').to_i
    wait('the positions to be remembered') { lab.instances.all? { |i| memory(i).dig('last_position').to_s.split(':').last.to_i >= before } }
    lab.power_off(*lab.instances)
    disks.each do |disk|
      FileUtils.rm_rf(disk)
      File.rename("#{disk}.before", disk)
      FileUtils.rm_f(File.join(disk, 'gvwstate.dat'))
    end
    lab.power_on(*lab.instances)
    start_all
    lab.instances.each { |i| wait_saying(i, /PositionFellBack/) }
    done = force(0, 'mysql/0')
    expect(done.words).to include('Recovered'), done.to_s
    wait_healthy
    expect_nothing_lost
  end
end
