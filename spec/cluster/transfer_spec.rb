# frozen_string_literal: true

require_relative 'support'

# mariabackup's donor sleeps ten seconds before it sends, so that there is time to break things.
RSpec.describe 'a state transfer that is interrupted', type: :cluster do
  ClusterSpec.with_lab(self, 'sst', ops: ClusterSpec::SMALL)

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
    expect(log(2)).to include('an interrupted state transfer is taken up again')
    wait('no script of a transfer to be left') { lab.instances.all? { |i| scripts(i).empty? } }
  end

  it 'by kill -9 of the donor: both come back' do
    lose_disk_of_two
    lab.kill(donor)
    wait_healthy(limit: 240)
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
