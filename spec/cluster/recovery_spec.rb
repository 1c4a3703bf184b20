# frozen_string_literal: true

require_relative 'support'

RSpec.describe 'recovery of a real cluster', type: :cluster do
  # A person decides when here, so that the errand is what acts.
  ClusterSpec.with_lab(self, 'recover', ops: ClusterSpec::SMALL + ClusterSpec::RSYNC, properties: { 'mariadb.auto_recovery' => 'errand' })

  def fingerprint
    lab.instances.to_h { |i| [i, [lab.mariadbd(i), wsrep(i, 'cluster_conf_id'), wsrep(i, 'cluster_state_uuid'), memory(i)['lineage']]] }
  end

  # Each member in turn leaves, and the last one has the most: order names them from behind to ahead.
  def die_one_after_the_other(order)
    first, second, last = order
    lab.instances.each { |i| lab.monit(i, 'unmonitor', 'mariadb') }
    lab.kill(first)
    wait("#{last} to be primary without #{first}") { wsrep(last, 'cluster_size') == '2' && synced?(last) }
    write(last, "without #{first} #{SecureRandom.hex(4)}")
    # A graceful leave, or the last one would have no quorum.
    lab.exec(second, 'pkill', '-TERM', '-x', 'galera-start')
    wait("#{last} to be alone") { wsrep(last, 'cluster_size') == '1' && synced?(last) }
    write(last, "alone #{SecureRandom.hex(4)}")
    lab.kill(last)
    wait('all supervisors to be gone') { lab.instances.none? { |i| supervisor(i) } }
    forget_views
    start_all
    lab.instances.each { |i| wait_phase(i, 'waiting') }
  end

  describe 'the errand' do
    it 'on a healthy cluster changes nothing and ends with 0' do
      before = fingerprint
      results = errand
      expect(results.values.map(&:status)).to eq([0, 0, 0]), told(results)
      expect(results.values.map(&:words)).to all(include('No action: all 3 members are Synced'))
      expect(fingerprint).to eq(before)
    end

    it 'refuses while a primary component exists and a member is out of it (G7)' do
      lab.drain(2)
      before = fingerprint
      result = errand('mysql/0')['mysql/0']
      expect([result.status, result.words]).to match([3, a_string_including('Refused: a primary component exists', 'mysql/2')])
      expect(fingerprint).to eq(before)
    ensure
      lab.monit(2, 'start', 'mariadb')
      wait_healthy
    end

    [%w[mysql/0 mysql/1 mysql/2], %w[mysql/2 mysql/1 mysql/0]].each do |order|
      it "recovers all three from the most advanced, here #{order.last}, run on all instances at once (K7, G2, G12)" do
        die_one_after_the_other(order)
        seqnos = lab.instances.to_h { |i| [i, observation(i).dig('position', 'position').split(':').last.to_i] }
        expect(seqnos.max_by(&:last).first).to eq(order.last), seqnos.inspect

        dry = lab.exec(1, '/var/vcap/jobs/bootstrap/bin/run', '--dry-run')
        expect([dry.status, dry.words]).to match([0, a_string_including("bootstrap #{order.last}")])
        lab.instances.each { |i| expect(lab.mariadbd(i)).to be_nil }

        results = errand
        expect(results.values.map(&:status)).to eq([0, 0, 0]), told(results)
        expect(results.values.map(&:words)).to all(include("Recovered: #{order.last} was bootstrapped", 'a write was seen on each'))
        expect(results.values.map(&:words).grep(/leads; following it/).size).to eq(2), told(results)
        wait_healthy
        expect_nothing_lost
        expect(lineage(0).last).to eq([order.last, 'EveryMemberSeen'])
        expect(lab.instances.map { |i| memory(i)['lineage'] }.uniq.size).to eq(1)
        expect(lab.instances.map { |i| supervisor(i)['hold'] }).to all(be_nil)
      end
    end

    it 'refuses while one agent is down, and leaves everything as it was (G10, G11, K16)' do
      total_outage
      lab.monit(1, 'unmonitor', 'galera-agent')
      lab.exec(1, '/var/vcap/jobs/galera-agent/bin/stop')
      before = lab.instances.map { |i| [supervisor(i).values_at('phase', 'hold'), grastate(i), memory(i)] }
      results = [0, 2].map { |i| errand("mysql/#{i}").values.first }
      expect(results.map(&:status)).to eq([3, 3])
      expect(results.map(&:words)).to all(include('Refused: PartialKnowledge', 'mysql/1 (its VM answers but its agent does not run)', 'Nothing was changed'))
      expect(lab.instances.map { |i| [supervisor(i).values_at('phase', 'hold'), grastate(i), memory(i)] }).to eq(before)
    ensure
      lab.monit(1, 'start', 'galera-agent')
      wait('the agent of mysql/1') { http(1, '/', auth: false).first == 503 }
    end

    it 'with a wrong password refuses, names the reason, and changes nothing' do
      config = JSON.parse(lab.exec(0, 'cat', '/var/vcap/jobs/bootstrap/config/galera-bootstrap.yml').out)
      config['agents']['password'] = 'wrong'
      lab.exec(0, 'sh', '-c', 'cat > /tmp/wrong.yml', stdin: JSON.dump(config))
      result = lab.exec(0, '/var/vcap/packages/mariadb-galera/bin/galera-bootstrap', '--config', '/tmp/wrong.yml')
      expect([result.status, result.words]).to match([3, a_string_including('it refuses our user name or password (401)')])
      expect(lab.instances.map { |i| supervisor(i)['hold'] }).to all(be_nil)
    end

    it 'with a wrong key in its configuration ends with 2 and names the path' do
      config = JSON.parse(lab.exec(0, 'cat', '/var/vcap/jobs/bootstrap/config/galera-bootstrap.yml').out)
      config['timeouts']['stop'] = '5'
      lab.exec(0, 'sh', '-c', 'cat > /tmp/wrong.yml', stdin: JSON.dump(config))
      result = lab.exec(0, '/var/vcap/packages/mariadb-galera/bin/galera-bootstrap', '--config', '/tmp/wrong.yml')
      expect([result.status, result.err]).to match([2, a_string_including('timeouts.stop', 'expected a duration such as 60s')])
    end

    # Whatever the example before left behind.
    def whole_again
      lab.instances.each { |i| lab.monit(i, 'start', 'galera-agent') }
      wait('all agents') { lab.instances.all? { |i| http(i, '/', auth: false).first.positive? } }
      errand('mysql/0')
      wait_healthy
    end

    # Starts the errand on mysql/0 and kills it once it says that it is in this step.
    def killed_in(step)
      script = '/var/vcap/jobs/bootstrap/bin/run > /tmp/run.out & pid=$!; ' \
               'until grep -q "^.%d/7" /tmp/run.out; do kill -0 $pid || exit 1; sleep 0.002; done; kill -9 $pid' % step
      result = lab.exec(0, 'bash', '-c', script, limit: 60)
      expect(result).to be_ok, "the errand was over before it could be killed: #{lab.exec(0, 'cat', '/tmp/run.out').out}"
    end

    # The holds of the dead run end by themselves; the next run waits for that, and takes over.
    def runs_again
      result = errand('mysql/1').values.first
      expect(result.status).to eq(0), result.to_s
      wait_healthy
      expect_nothing_lost
    end

    # Every step in which something is held, stopped, begun or joined.
    [2, 4, 5, 6].each do |step|
      it "killed in step #{step} can simply be run again, and bootstraps no second time (G9, H12)" do
        whole_again
        write(0, "before step #{step} #{SecureRandom.hex(4)}")
        total_outage
        before = memory(0)['lineage'].size
        killed_in(step)
        runs_again
        expect(memory(0)['lineage'].size).to eq(before + 1)
      end
    end

    it 'killed in step 3, in which a live member that is behind is stopped, can simply be run again (G9, Q10)' do
      whole_again
      lab.cut(0)
      wait('mysql/1 to be primary without mysql/0') { wsrep(1, 'cluster_size') == '2' && synced?(1) }
      write(1, "without mysql/0 #{SecureRandom.hex(4)}")
      [1, 2].each { |i| lab.monit(i, 'unmonitor', 'mariadb') }
      [1, 2].each { |i| lab.kill(i) }
      wait('supervisors to be gone') { [1, 2].none? { |i| supervisor(i) } }
      forget_views([1, 2])
      start_all([1, 2])
      [1, 2].each { |i| wait_phase(i, 'waiting') }
      lab.heal
      before = memory(1)['lineage'].size
      killed_in(3)
      runs_again
      expect(memory(1)['lineage'].size).to eq(before + 1)
    end

    it 'with a choice of its own is refused by the name of the run that leads, which it does not disturb' do
      whole_again
      total_outage
      leading = Thread.new { errand('mysql/0').values.first }
      wait('a run that leads') { supervisor(2)&.dig('hold') }
      second = lab.exec(1, '/var/vcap/jobs/bootstrap/bin/run', '--node', 'mysql/1', '--accept-missing', 'mysql/0', '--accept-missing', 'mysql/2')
      expect([second.status, second.words]).to match([3, a_string_including('Refused: bootstrap errand on mysql/0 leads a recovery')])
      expect(leading.value.status).to eq(0), leading.value.to_s
      wait_healthy
      expect_nothing_lost
    end

    it 'whose leader dies is taken over by one that follows it' do
      total_outage
      runs = [0, 1, 2].to_h { |i| [i, Thread.new { lab.exec(i, '/var/vcap/jobs/bootstrap/bin/run', limit: 180) }] }
      wait('a run that leads') { supervisor(2)&.dig('hold') }
      leader = supervisor(2).dig('hold', 'owner')[/\d+\z/].to_i
      lab.exec(leader, 'pkill', '-KILL', '-x', 'galera-bootstra')
      results = runs.transform_values(&:value)
      expect(results.except(leader).values.map(&:status)).to eq([0, 0]), told(results)
      wait_healthy
      expect_nothing_lost
    end

    it 'is what the routes of Cloud Foundry\'s own errand do too, one call after the other' do
      total_outage
      lab.instances.each { |i| expect(http(i, '/stop_mysql', method: 'POST')).to eq([200, 'stop successful']) }
      expect(lab.instances.map { |i| http(i, '/mysql_status').last }).to eq(%w[stopped stopped stopped])
      seqnos = lab.instances.map { |i| http(i, '/sequence_number').last }
      expect(seqnos).to all(match(/\A\d+\z/))
      best = lab.instances[seqnos.map(&:to_i).each_with_index.max.last]
      expect(http(best, '/start_mysql_bootstrap?sst=true', method: 'POST', limit: 60)).to eq([200, 'cluster bootstrap successful'])
      (lab.instances - [best]).each { |i| expect(http(i, '/start_mysql_join?sst=true', method: 'POST', limit: 60)).to eq([200, 'join cluster successful']) }
      expect(lab.instances.map { |i| http(i, '/mysql_status').last }).to eq(%w[running running running])
      wait_healthy
      expect_nothing_lost
    end

    it 'is not what those routes do where nothing proves it' do
      refused = http(1, '/start_mysql_bootstrap', method: 'POST')
      expect(refused).to match([500, a_string_including('a primary component exists')])
      expect(http(1, '/start_mysql_single_node', method: 'POST')).to match([500, a_string_including('second cluster')])
      expect(http(1, '/sequence_number')).to eq([500, "can't determine sequence number when database is running"])
      wait_healthy
    end
  end
end
