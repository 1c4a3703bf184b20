# frozen_string_literal: true

require_relative 'support'

# mariabackup's donor sleeps ten seconds before it sends, so that there is time to break things.
RSpec.describe 'a state transfer that is interrupted', type: :cluster do
  # Long enough for all that goes on, and short enough to wait for.
  ClusterSpec.with_lab(self, 'sst', ops: ClusterSpec::SMALL, properties: { 'mariadb.join_stall_timeout' => '32s' })

  after do |example|
    next if example.exception
    start_all
    wait_healthy(limit: 240)
    expect_nothing_lost
  end

  def receiving?(instance) = observation(instance).dig('process', 'state_transfer') == true
  def donor = lab.instances.find { |i| wsrep(i, 'local_state_comment') == 'Donor/Desynced' }
  def scripts(instance) = lab.exec(instance, 'pgrep', '-f', '[w]srep_sst_').out.split

  # mysql/2 comes back with an empty disk and begins to receive everything.
  def lose_disk_of_two
    write(0, "before #{SecureRandom.hex(4)}")
    # Gracefully: what is left may be one of two, which would lose its quorum.
    lab.stop(2)
    lab.vm(2).power_off
    lab.vm(2).remove_disk
    lab.recreate(2, await: false)
    wait('mysql/2 to receive its state', 60) { receiving?(2) && donor }
  end

  it 'by kill -9 of the joiner: it begins again, and no script is left behind' do
    lose_disk_of_two
    lab.kill(2)
    wait_healthy(limit: 240)
    expect(log(2)).to include('an interrupted full copy is begun again')
    wait('no script of a transfer to be left') { lab.instances.all? { |i| scripts(i).empty? } }
  end

  # `timeout`, below which it listens, is in no group of mariadbd's or of the script's.
  it 'T3: by kill -9 of the joiner: nothing is left that listens for what was to come' do
    lose_disk_of_two
    listens = -> { lab.exec(2, 'pgrep', '-x', 'socat').out.split }
    wait('the joiner to listen') { listens.call.any? }
    lab.monit(2, 'unmonitor', 'mariadb')
    lab.kill(2)
    wait('it to listen no more', 5) { listens.call.empty? }
  end

  it 'T3: by a power loss that leaves the number of a process that is another one later: nobody waits for that' do
    lab.monit(2, 'unmonitor', 'mariadb')
    lab.exec(2, 'pkill', '-KILL', '-x', 'galera-start')
    lab.kill(2)
    lab.exec(2, 'sh', '-c', 'cd /var/vcap/store/mariadb/data && rm grastate.dat && echo 1 >wsrep_sst.pid')
    start_all
    wait_healthy(limit: 120)
    expect(log(2, 'mariadb/mariadb.err.log')).not_to include('Previous SST is not completed')
  end

  it 'by kill -9 of the donor: both come back' do
    lose_disk_of_two
    lab.kill(donor)
    wait_healthy(limit: 240)
  end

  it 'T8: a joiner that is gone without a word: its donor gives the transfer up, and is there for others' do
    lose_disk_of_two
    from = donor
    lab.cut(2)
    # TCP alone would take minutes to notice.
    wait("#{from} to be Synced again", 90) { synced?(from) }
    expect(log(from[/\d+/].to_i)).to match(/transfer.given_up .*its joiner is gone, or hangs/)
    wait('no script of the transfer to be left there') { scripts(from).empty? }
    # Galera itself waits at its end for whoever it sends an incremental transfer to, as long as TCP does.
    lab.monit(from, 'stop', 'mariadb')
    wait("#{from} to leave", 90) { lab.mariadbd(from).nil? }
    lab.heal
  end

  it 'T7: an incremental one of which nothing arrives: it is given up, and begun again' do
    lab.stop(2)
    write(0, 'mysql/2 does not have this')
    lab.close_port(2, 4568)
    lab.start(2, await: false)
    wait('the page to say that it stands') { ctl(0, 'diagnose').out.match?(/IST\s+stands/) }
    wait('it to be given up', 60) { log(2).include?('nothing has come of its start for') }
    lab.heal
    wait_healthy(limit: 120)
    expect(lab.exec(2, 'ls', '/var/vcap/store/mariadb').out).not_to include('data.')
  end

  it 'T14: a member that misses the file of a table is no donor, so that nobody else comes to miss it' do
    write(0, "before #{SecureRandom.hex(4)}")
    lab.sql(0, 'CREATE TABLE ledger.whole (a INT PRIMARY KEY); INSERT INTO ledger.whole VALUES (1)')
    wait('the row on mysql/1') { lab.sql(1, 'SELECT * FROM ledger.whole').out.strip == '1' }
    lab.stop(1)
    remove(1, 'ledger/whole.ibd')
    lab.start(1)
    wait_healthy
    wait('mysql/1 to miss it') { observation(1)['missing_tables'] == ['ledger/whole'] }
    lose_disk_of_two
    expect(donor).to eq('mysql/0')
    wait_healthy(limit: 240)
    # Preferred only, where the agent of mysql/1 was late.
    expect(log(2)).to match(%r{donor.(chosen|preferred) .*from=mysql/0$})
    expect(lab.sql(2, 'SELECT * FROM ledger.whole').out.strip).to eq('1')
    lab.sql(0, 'DROP TABLE ledger.whole')
  end

  it 'by power loss of all in the middle of it: the two that have data come back, and it begins again' do
    lose_disk_of_two
    lab.power_off(0, 1, 2)
    lab.power_on(0, 1, 2)
    wait_healthy(limit: 240)
  end

  it 'by a drain of the only Synced member that feeds it: what that member has survives' do
    write(0, 'mysql/1 has this')
    lab.stop(1)
    write(0, 'mysql/1 does not have this')
    lose_disk_of_two
    lab.stop(0, skip_drain: true)
    # Galera leaves the flags inverted here: the one with all the data says it is not safe.
    expect(grastate(0)['safe_to_bootstrap']).to eq('0')
    lab.start(1, await: false)
    sleep 3
    expect(lab.mariadbd(1)).to be_nil
    lab.start(0, await: false)
    wait_healthy(limit: 240)
    expect(lineage(0).last.first).to eq('mysql/0')
  end
end
