# frozen_string_literal: true

require_relative 'support'

RSpec.describe 'a cluster that comes back by itself', type: :cluster do
  ClusterSpec.with_lab(self, 'auto', ops: ClusterSpec::SMALL + ClusterSpec::RSYNC)

  after { |example| put_right unless example.exception }

  describe 'from its saved view, without a new incarnation' do
    it 'all killed at once' do
      before = lineage(0)
      write(1, 'before all were killed')
      kill_all
      wait_healthy
      expect_nothing_lost
      expect(lineage(0)).to eq(before)
    end

    it 'the outage of seed 000: cut in sequence, all killed while cut, healed (K1, K2, K12, K13, K17)' do
      lab.cut(2)
      wait('mysql/0 and mysql/1 to go on alone') { [0, 1].all? { |i| wsrep(i, 'cluster_size') == '2' && synced?(i) } }
      write(0, 'while mysql/2 was cut off')
      lab.cut_link(0, 1)
      wait('nobody to be primary') { lab.instances.none? { |i| wsrep(i, 'cluster_status') == 'Primary' } }
      wait('health to say so (K14)') { lab.instances.all? { |i| http(i, '/').last.start_with?('non-primary:') } }
      kill_all
      lab.instances.each { |i| wait_phase(i, 'waiting') }
      wait_saying('mysql/0', %r{not seen: mysql/1 \(.*mysql/2 \(})
      lab.heal
      wait_healthy(limit: 180)
      expect_nothing_lost
      expect(log(2)).to include('has a newer saved view')
    ensure
      lab.heal
    end

    it 'power loss of all VMs at once under write load (S19)' do
      before = lineage(0)
      written = under_load(1) { lab.power_off(0, 1, 2) }
      lab.power_on(0, 1, 2)
      wait_healthy
      expect(written).to be > 20
      expect_nothing_lost
      expect(lineage(0)).to eq(before)
    end

    it 'a staggered crash: one dies, two go on and die later, all restart at once (K8, K17)' do
      before = lineage(0)
      lab.power_off(0)
      wait('two to go on') { [1, 2].all? { |i| wsrep(i, 'cluster_size') == '2' && synced?(i) } }
      written = under_load(2) { lab.power_off(1, 2) }
      lab.power_on(0, 1, 2)
      wait_healthy
      expect(written).to be > 20
      expect_nothing_lost
      expect(lineage(0)).to eq(before)
    end

    it 'a survivor without quorum is stopped by SIGTERM while the others are down, all restarted' do
      before = lineage(0)
      lab.power_off(0, 1)
      wait('mysql/2 to be without quorum') { wsrep(2, 'cluster_status') == 'non-Primary' }
      lab.monit(2, 'unmonitor', 'mariadb')
      lab.exec(2, 'pkill', '-TERM', '-x', 'galera-start')
      wait('mariadbd to be gone') { lab.mariadbd(2).nil? }
      wait('the saved view to be put back, which Galera removes at its end', 10) { lab.exec(2, 'test', '-s', data(2, 'gvwstate.dat')).ok? }
      lab.power_on(0, 1)
      lab.monit(2, 'start', 'mariadb')
      wait_healthy
      expect_nothing_lost
      expect(lineage(0)).to eq(before)
    end
  end

  describe 'by a proof' do
    it 'full graceful stop and start in BOSH\'s order: LastToLeave (G7, G8, G16, Q4)' do
      write(0, 'before the full stop')
      lab.stop
      expect(grastate(2)['safe_to_bootstrap']).to eq('1')
      lab.start
      wait_healthy
      expect_nothing_lost
      # By then all agents are up, so either rule may be the first to hold.
      expect(lineage(0).last).to eq(['mysql/2', 'LastToLeave']).or eq(['mysql/2', 'EveryMemberSeen'])
    end

    it 'all stopped in the same moment, with no flag on any' do
      lab.stop(nil, parallel: true)
      lab.start(nil, parallel: true)
      wait_healthy
      expect_nothing_lost
    end

    it 'the last to leave comes back once most are there to say that nothing was begun since: LastToLeave (A3)' do
      [0, 1].each { |i| lab.stop(i) }
      write(2, 'alone')
      lab.stop(2)
      lab.start(2, await: false)
      wait_saying('mysql/2', /PartialKnowledge: not seen: mysql\/0/)
      expect(lab.mariadbd(2)).to be_nil
      lab.start(1, await: false)
      wait_healthy_among([1, 2])
      expect(memory(2)['lineage'].last).to include('by' => 'mysql/2', 'proof' => a_string_starting_with('LastToLeave'))
      lab.start(0, await: false)
      wait_healthy
      expect_nothing_lost
    end

    it 'power loss, and the saved views are gone: EveryMemberSeen, one leads, and the others say so (G2, G9, G13, H12)' do
      all_down
      forget_views
      before = memory(0)['lineage'].size
      start_all
      wait_healthy
      expect_nothing_lost
      expect(lab.instances.map { |i| memory(i)['lineage'].size }).to eq([before + 1] * 3)
      expect(lab.instances.count { |i| log(i).include?('recovery.done') }).to be >= 1
      wait('nobody to be held any more') { lab.instances.all? { |i| supervisor(i)['hold'].nil? } }
    end

    it 'one was cut off before the others lost power, and is gone for good: LastViewComplete' do
      lab.power_off(2)
      wait('two to go on') { [0, 1].all? { |i| wsrep(i, 'cluster_size') == '2' && synced?(i) } }
      write(0, 'without mysql/2')
      wait('the two to remember it') { [0, 1].all? { |i| remembers_view_of(i) == 2 } }
      lab.power_off(0, 1)
      # One of the two has lost the file, as by a torn write; it still knows which view it was in.
      File.write(lab.vm(1).vcap('store/mariadb/data/gvwstate.dat'), '')
      lab.power_on(0, 1)
      wait_healthy_among([0, 1])
      expect(lineage(0).last.last).to eq('LastViewComplete')
      expect_nothing_lost(%w[mysql/0 mysql/1])
      lab.power_on(2)
      wait_healthy
      expect_nothing_lost
    end

    it 'two of three are killed and have lost their views: the survivor is promoted in place (H7, S4)' do
      survivor = lab.mariadbd(2)
      write(2, 'before two were killed')
      [0, 1].each { |i| lab.monit(i, 'unmonitor', 'mariadb') }
      [0, 1].map { |i| Thread.new { lab.kill(i) } }.each(&:join)
      wait('mysql/2 to be without quorum') { wsrep(2, 'cluster_status') == 'non-Primary' }
      wait('two supervisors to be gone') { [0, 1].none? { |i| supervisor(i) } }
      forget_views([0, 1])
      start_all([0, 1])
      wait_healthy
      expect(lab.mariadbd(2)).to eq(survivor)
      expect(log(2)).to include('promoted')
      expect_nothing_lost
    end

    it 'R1, R3: the survivor is made primary although its view changes in that moment, within a minute' do
      lab.monit(1, 'unmonitor', 'mariadb')
      lab.kill(2)
      wait('mysql/2 to join again') { supervisor(2)&.dig('child', 'mode') == 'join' }
      lab.kill(1)
      forget_views([1])
      wait('the supervisor of mysql/1 to be gone') { supervisor(1).nil? }
      lab.monit(1, 'start', 'mariadb')
      wait_healthy(limit: 60)
      expect_nothing_lost
    end

    it 'a live but behind member never wins over one that waits and is ahead (H13)' do
      lab.cut(2)
      wait('mysql/2 to be without quorum') { wsrep(2, 'cluster_status') == 'non-Primary' }
      write(0, 'the live one does not have this')
      [0, 1].each { |i| lab.monit(i, 'unmonitor', 'mariadb') }
      [0, 1].map { |i| Thread.new { lab.kill(i) } }.each(&:join)
      wait('two supervisors to be gone') { [0, 1].none? { |i| supervisor(i) } }
      forget_views([0, 1])
      lab.heal
      start_all([0, 1])
      wait_healthy
      expect(lineage(0).last).to match([%r{mysql/[01]}, 'EveryMemberSeen'])
      expect_nothing_lost
    ensure
      lab.heal
    end
  end

  describe 'not where nothing proves it: it stands, and says what a person can do' do
    it 'two lose power while commits of the one that died before wait in their memory (H13, G10)' do
      # A lock keeps them from applying what they receive.
      locks = [1, 2].map do |i|
        Thread.new do
          lab.sql(i, 'FLUSH TABLES WITH READ LOCK; SELECT SLEEP(60)', limit: 90)
        rescue LabParts::Failed
          # its VM lost power, as it should
        end
      end
      wait('both to be locked') { [1, 2].all? { |i| lab.sql(i, 'SHOW PROCESSLIST').out.include?('SLEEP') } }
      write(0, 'a client was told of this, and two have it in memory only')
      lab.power_off(0)
      wait('the saved views of the two') { [1, 2].all? { |i| lab.exec(i, 'grep', '-c', '^member:', data(i, 'gvwstate.dat')).out.to_i == 2 } }
      lab.power_off(1, 2)
      locks.each(&:join)
      lab.power_on(1, 2)
      # Galera itself would restore the view of the two, and take mysql/0 back by IST when it returns.
      [1, 2].each { |i| wait_saying("mysql/#{i}", %r{PartialKnowledge: not known: mysql/0 .*no member of the saved view was seen to have applied}) }
      10.times { expect([1, 2].map { |i| lab.mariadbd(i) }).to eq([nil, nil]); sleep 0.3 }
      lab.power_on(0)
      wait_healthy
      expect_nothing_lost
    end

    it 'the old one comes first after two newer ones lost power (G10, G11)' do
      lab.power_off(0)
      wait('two to go on') { [1, 2].all? { |i| wsrep(i, 'cluster_size') == '2' && synced?(i) } }
      write(1, 'the old one does not have this')
      lab.power_off(1, 2)
      lab.power_on(0)
      wait_saying('mysql/0', %r{not seen: mysql/1 .*--node mysql/0 --accept-missing mysql/1 --accept-missing mysql/2})
      10.times { expect(lab.mariadbd(0)).to be_nil; sleep 0.3 }
      lab.power_on(1, 2)
      wait_healthy
      expect_nothing_lost
    end

    it 'power loss, and one VM of the last view is gone for good; a person names it, and it returns with its disk (Q3)' do
      write(0, 'all three have this')
      lab.power_off(0, 1, 2)
      lab.power_on(0, 1)
      words = %r{not seen: mysql/2 .*--node mysql/\d --accept-missing mysql/2}
      [0, 1].each { |i| wait_saying("mysql/#{i}", words) }
      sleep 3
      expect([0, 1].map { |i| lab.mariadbd(i) }).to eq([nil, nil])
      refused = lab.exec(0, '/var/vcap/jobs/bootstrap/bin/run')
      expect([refused.status, refused.words]).to match([3, a_string_matching(words)])
      unnamed = lab.exec(0, '/var/vcap/jobs/bootstrap/bin/run', '--node', 'mysql/0')
      expect([unnamed.status, unnamed.words]).to match([3, a_string_including('not accepted: mysql/2', '--accept-missing mysql/2')])
      forced = lab.exec(0, '/var/vcap/jobs/bootstrap/bin/run', '--node', 'mysql/0', '--accept-missing', 'mysql/2')
      expect(forced.words).to include('Recovered in part: mysql/0 was bootstrapped', 'Left out: mysql/2: whatever it committed'), forced.to_s
      wait_healthy_among([0, 1])
      expect(memory(1)['lineage'].last).to include('by' => 'mysql/0', 'left_out' => [a_string_starting_with('mysql/2:')])
      write(1, 'the one that was left out does not have this')
      # It had nothing that the others lack, so it comes back.
      lab.power_on(2)
      wait_healthy
      expect_nothing_lost
    end

    it 'the same, and it returns without its disk' do
      lab.power_off(0, 1, 2)
      lab.vm(2).remove_disk
      lab.power_on(0, 1)
      wait_saying('mysql/0', /--accept-missing mysql\/2/)
      lab.recreate(2, await: false)
      wait_saying('mysql/0', %r{mysql/2 has no data, and may have had more than all others before.*--accept-missing mysql/2})
      expect(lab.instances.map { |i| lab.mariadbd(i) }).to eq([nil, nil, nil])
      forced = lab.exec(1, '/var/vcap/jobs/bootstrap/bin/run', '--node', 'mysql/1', '--accept-missing', 'mysql/2')
      expect([forced.status, forced.words]).to match([0, a_string_including('Recovered: mysql/1 was bootstrapped', 'Left out: mysql/2')]), forced.to_s
      wait_healthy
      expect_nothing_lost
    end

    it 'an empty disk on the designated instance, the others stopped, started in BOSH\'s order: no empty cluster (Q17, G11)' do
      lab.stop
      lab.vm(0).remove_disk
      lab.start
      wait_healthy
      expect(lineage(0).last.first).not_to eq('mysql/0')
      expect_nothing_lost
    end

    it 'agents are down on some members (G15)' do
      all_down
      forget_views
      lab.monit(1, 'unmonitor', 'galera-agent')
      lab.exec(1, '/var/vcap/jobs/galera-agent/bin/stop')
      start_all
      [0, 2].each { |i| wait_saying("mysql/#{i}", %r{not seen: mysql/1 \(its VM answers but its agent does not run\)}) }
      sleep 3
      expect(lab.instances.map { |i| lab.mariadbd(i) }).to eq([nil, nil, nil])
      lab.monit(1, 'start', 'galera-agent')
      wait_healthy
      expect_nothing_lost
    end
  end
end
