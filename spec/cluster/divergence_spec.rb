# frozen_string_literal: true

require_relative 'support'

RSpec.describe 'members whose data parted', type: :cluster do
  ClusterSpec.with_lab(self, 'fork', ops: ClusterSpec::SMALL + ClusterSpec::RSYNC)

  after do |example|
    lab.instances.each { |i| lab.exec(i, 'nft', 'add table inet galera; delete table inet galera') if lab.vm(i).up? }
    put_right unless example.exception
  end

  def position(instance) = grastate(instance).values_at('uuid', 'seqno').join(':')

  # mariadbd as a person starts it, without our supervisor.
  def mariadbd_by_hand(instance, *options)
    lab.exec(instance, 'sh', '-c', 'setsid setpriv --reuid=vcap --regid=vcap --init-groups /var/vcap/packages/mariadb/bin/mariadbd ' \
                                   "--defaults-file=/var/vcap/jobs/mariadb/config/my.cnf #{options.join(' ')} >/dev/null 2>&1 </dev/null &")
  end

  # A cut that `lab.heal` leaves.
  def drop_from(from, at:)
    expect(lab.exec(at, 'nft', 'add table inet galera; add chain inet galera in { type filter hook input priority 0; }; ' \
                               "add rule inet galera in ip saddr #{lab.address(from)} drop")).to be_ok
  end

  # mysql/2 alone commits these, and stops; all are down then.
  def only_on_two(*notes)
    write(0, "common past #{SecureRandom.hex(4)}")
    [0, 1].each { |i| lab.stop(i) }
    notes.each { |note| expect(lab.sql(2, "INSERT INTO ledger.entries VALUES ('#{note}')")).to be_ok }
    lab.stop(2)
  end

  def expect_refused(words, times: 3)
    times.times do
      wait_saying('mysql/2', words)
      lab.exec(2, 'pkill', '-KILL', '-x', 'galera-start')
      wait('another supervisor') { supervisor(2) }
    end
    wait_saying('mysql/2', words)
    expect(lab.mariadbd(2)).to be_nil
  end

  def entries(instance) = rows(instance, 'SELECT note FROM ledger.entries').flatten

  it 'the one that is ahead is never wiped, however often monit restarts it, and not taken back by IST either; a person gives its data up (Q10, Q11, H13, G14)' do
    only_on_two('lost 1', 'lost 2', 'lost 3')
    lab.power_off(2)
    before = position_of_off(2)
    [0, 1].each { |i| lab.start(i, await: false) }
    # Not mysql/0, which left before: a view change is counted like a transaction.
    forced = lab.exec(0, '/var/vcap/jobs/bootstrap/bin/run', '--node', 'mysql/1', '--accept-missing', 'mysql/2')
    expect(forced.words).to include('Recovered in part: mysql/1'), forced.to_s
    lab.power_on(2)
    lab.start(2, await: false)
    # Galera would abort with "Reversing history", zero grastate.dat, and take a full copy at the next start.
    stake = /AheadOfCluster: .*its last \d+ transactions/
    expect_refused(stake)
    number = supervisor(2)['detail'][/its last \d+ transactions/]
    # Once the cluster has passed it, Galera would take it back by IST, say Synced, and differ for ever.
    40.times { |n| write(0, "onward #{SecureRandom.hex(4)} #{n}") }
    expect_refused(/AheadOfCluster: .*#{number}/)
    expect(position(2)).to eq(before)
    expect(lab.exec(2, 'ls', data(2, 'ledger')).out).to include('entries.ibd')

    shown = ctl(2, 'rejoin')
    expect([shown.status, shown.words]).to match([0, a_string_matching(/At stake: \d+ transactions that the cluster lacks.*MiB.*rejoin --abandon-data/m)])
    expect(lab.mariadbd(2)).to be_nil
    given_up = ctl(2, 'rejoin', '--abandon-data')
    expect([given_up.status, given_up.words]).to match([0, a_string_matching(%r{Given up: kept in /var/vcap/store/mariadb/data.abandoned-\S+})]), given_up.to_s
    wait_healthy
    expect_nothing_lost
    expect(entries(2)).not_to include('lost 1')
    kept = given_up.out[%r{/var/vcap/store/mariadb/data.abandoned-[^. ]+}]
    expect(lab.exec(2, 'cat', "#{kept}/grastate.dat").out).to include(before.split(':').first, before.split(':').last)
    lab.exec(2, 'rm', '-rf', kept)
  end

  it 'a person goes on from the one that is ahead: the others keep what they have, and give it up by name (Q11)' do
    only_on_two('now kept 1', 'now kept 2')
    lab.power_off(2)
    [0, 1].each { |i| lab.start(i, await: false) }
    # Not mysql/0, which left before: a view change is counted like a transaction.
    forced = lab.exec(0, '/var/vcap/jobs/bootstrap/bin/run', '--node', 'mysql/1', '--accept-missing', 'mysql/2')
    expect(forced.words).to include('Recovered in part: mysql/1'), forced.to_s
    expect(lab.sql(1, "INSERT INTO ledger.entries VALUES ('on the other side')")).to be_ok
    lab.power_on(2)
    lab.start(2, await: false)
    wait_saying('mysql/2', /AheadOfCluster/)
    [0, 1].each { |i| lab.stop(i, skip_drain: true) }
    wait_saying('mysql/2', /not seen: mysql\/0 .*--node mysql\/2 --accept-missing mysql\/0 --accept-missing mysql\/1/)
    back = lab.exec(2, '/var/vcap/jobs/bootstrap/bin/run', '--node', 'mysql/2', '--accept-missing', 'mysql/0', '--accept-missing', 'mysql/1')
    expect(back.words).to include('Recovered in part: mysql/2 was bootstrapped', 'Left out: mysql/1'), back.to_s
    [0, 1].each { |i| lab.start(i, await: false) }
    [0, 1].each do |i|
      wait_saying("mysql/#{i}", /AheadOfCluster/)
      expect(ctl(i, 'rejoin', '--abandon-data')).to be_ok
    end
    ledger.concat(['now kept 1', 'now kept 2'])
    wait_healthy
    expect_nothing_lost
    expect(entries(0)).not_to include('on the other side')
    [0, 1].each { |i| lab.exec(i, 'sh', '-c', 'rm -rf /var/vcap/store/mariadb/data.abandoned-*') }
  end

  it 'those that live where nobody looks, and are left out of a forced bootstrap, keep what they have when the network heals (Q10, H13, G14)' do
    lab.cut(2)
    wait('two to go on without mysql/2') { [0, 1].all? { |i| wsrep(i, 'cluster_size') == '2' && synced?(i) } }
    expect(lab.sql(0, "INSERT INTO ledger.entries VALUES ('only on the two')")).to be_ok
    wait('both to have it') { entries(1).include?('only on the two') }
    # Healed last: with each other they would be a quorum again before they see what was begun without them.
    [[0, 1], [1, 0]].each { |at, from| drop_from(from, at: at) }
    wait('nobody to be primary') { lab.instances.none? { |i| wsrep(i, 'cluster_status') == 'Primary' } }
    forced = lab.exec(2, '/var/vcap/jobs/bootstrap/bin/run', '--node', 'mysql/2', '--accept-missing', 'mysql/0', '--accept-missing', 'mysql/1')
    expect(forced.words).to include('Recovered in part: mysql/2 was bootstrapped'), forced.to_s
    40.times { |n| write(2, "onward #{SecureRandom.hex(4)} #{n}") }
    expect([0, 1].all? { |i| lab.mariadbd(i) }).to be(true)
    # Galera would merge them by itself, by IST, say Synced, and differ for ever.
    lab.heal
    [0, 1].each { |i| wait_saying("mysql/#{i}", /AheadOfCluster: .*its last \d+ transactions/) }
    [0, 1].each { |i| lab.exec(i, 'nft', 'delete table inet galera') }
    expect([0, 1].map { |i| log(i).scan('went on without this member, in a group of its own').size }).to all(be >= 1)
    [0, 1].each { |i| expect(ctl(i, 'rejoin', '--abandon-data')).to be_ok }
    wait_healthy
    expect_nothing_lost
    [0, 1].each do |i|
      expect(lab.exec(i, 'sh', '-c', 'ls /var/vcap/store/mariadb/data.abandoned-*/ledger').out).to include('entries.ibd')
      lab.exec(i, 'sh', '-c', 'rm -rf /var/vcap/store/mariadb/data.abandoned-*')
    end
  end

  it 'a member that is ahead of a cluster that was bootstrapped by hand, behind our back (Q10, H13)' do
    only_on_two('by hand')
    before = position(2)
    # The further one of the two: a view change is counted like a transaction.
    lab.exec(1, 'sed', '-i', 's/safe_to_bootstrap: 0/safe_to_bootstrap: 1/', data(1, 'grastate.dat'))
    mariadbd_by_hand(1, '--wsrep-new-cluster')
    wait('mysql/1 to be primary') { synced?(1) }
    30.times { |n| write(1, "fork #{SecureRandom.hex(4)} #{n}") }
    [1, 0, 2].each { |i| lab.start(i, await: false) }
    expect_refused(/AheadOfCluster/, times: 1)
    expect(position(2)).to eq(before)
    wait_healthy_among([0, 1])
    expect(ctl(2, 'rejoin', '--abandon-data', '--delete')).to be_ok
    wait_healthy
    expect_nothing_lost
    expect(lab.exec(2, 'sh', '-c', 'ls /var/vcap/store/mariadb').out).not_to include('abandoned')
  end

  it 'a server that somebody bootstraps beside a supervisor that waits is taken over, and recorded (H13, H17)' do
    only_on_two('by hand, beside us')
    lab.start(1, await: false)
    wait_phase(1, 'waiting')
    lab.exec(1, 'sed', '-i', 's/safe_to_bootstrap: 0/safe_to_bootstrap: 1/', data(1, 'grastate.dat'))
    wait('the data to be looked at again') { log(1).include?('data.changed') && supervisor(1)['phase'] == 'waiting' }
    expect(lab.mariadbd(1)).to be_nil
    mariadbd_by_hand(1, '--wsrep-new-cluster')
    wait('it to be taken over') { supervisor(1)&.dig('child', 'mode') == 'adopted' }
    wait('its bootstrap to be recorded') { lineage(1).last == %w[mysql/1 begun] }
    [0, 2].each { |i| lab.start(i, await: false) }
    expect_refused(/AheadOfCluster/, times: 1)
    wait_healthy_among([0, 1])
    expect(ctl(2, 'rejoin', '--abandon-data', '--delete')).to be_ok
    wait_healthy
    expect_nothing_lost
  end

  it 'two primaries made by hand: seen, named, nothing made worse, and the side that is left is not taken back in silence (H10, H12, S4, Q20)' do
    write(0, "before the split #{SecureRandom.hex(4)}")
    # Galera's links are cut, the agents' are not.
    lab.exec(2, 'nft', 'add table inet galera; add chain inet galera in { type filter hook input priority 0; }; add rule inet galera in tcp dport 4567 drop; add rule inet galera in tcp sport 4567 drop')
    wait('mysql/2 to be without quorum') { wsrep(2, 'cluster_status') == 'non-Primary' }
    expect(lab.sql(2, "SET GLOBAL wsrep_provider_options='pc.bootstrap=YES'")).to be_ok
    wait('two primaries') { synced?(0) && synced?(2) }
    expect(lab.sql(2, "INSERT INTO ledger.entries VALUES ('other side')")).to be_ok
    pids = lab.instances.map { |i| lab.mariadbd(i) }
    expect([ctl(0, 'status').status, ctl(0, 'status').out]).to match([12, a_string_matching(%r{SplitBrain.*mysql/0, mysql/1\s+\|\s+mysql/2}m)])
    refused = errand
    expect(refused.values.map(&:status)).to eq([3, 3, 3]), told(refused)
    expect(refused.values.map(&:out)).to all(include('SplitBrain'))
    expect(lab.instances.map { |i| lab.mariadbd(i) }).to eq(pids)
    wait('the promotion by hand to be recorded') { lineage(2).last == ['mysql/2', 'begun'] }
    # A member that comes up meanwhile joins neither.
    lab.stop(1)
    lab.start(1, await: false)
    wait_saying('mysql/1', /SplitBrain/)
    lab.stop(2)
    wait_healthy_among([0, 1])
    40.times { |n| write(0, "the side that stays #{SecureRandom.hex(4)} #{n}") }
    lab.exec(2, 'nft', 'delete table inet galera')
    lab.start(2, await: false)
    expect_refused(/AheadOfCluster: .*its last \d+ transactions/, times: 1)
    # D4: a client of Cloud Foundry's API is told so at once.
    expect(http(2, '/stop_mysql', method: 'POST', limit: 60).first).to eq(200)
    expect(http(2, '/start_mysql_join', method: 'POST', limit: 20)).to match([500, a_string_including('AheadOfCluster')])
    wait('it to be let go') { supervisor(2)['hold'].nil? }
    expect(ctl(2, 'rejoin', '--abandon-data', '--delete')).to be_ok
    wait_healthy
    expect_nothing_lost
  end

  it 'data of another cluster is refused, not wiped (G12)' do
    write(0, "not of the other cluster #{SecureRandom.hex(4)}")
    lab.stop(2)
    remove(2, 'grastate.dat', 'galera.cache', 'gvwstate.dat')
    mariadbd_by_hand(2, '--wsrep-cluster-address=gcomm://', '--wsrep-new-cluster')
    wait('another cluster') { synced?(2) }
    expect(lab.sql(2, 'CREATE DATABASE elsewhere')).to be_ok
    lab.kill(2, 'TERM')
    wait('mariadbd to be gone') { lab.mariadbd(2).nil? }
    before = position(2)
    lab.start(2, await: false)
    expect_refused(/OtherHistory/)
    expect(position(2)).to eq(before)
    expect(lab.exec(2, 'ls', data(2)).out).to include('elsewhere')
    expect(ctl(2, 'rejoin', '--abandon-data', '--delete')).to be_ok
    wait_healthy
    expect_nothing_lost
  end

  # The data directory of a VM that is off.
  def position_of_off(instance)
    File.read(lab.vm(instance).vcap('store/mariadb/data/grastate.dat')).scan(/^(\w+):\s*(\S+)/).to_h.values_at('uuid', 'seqno').join(':')
  end
end
