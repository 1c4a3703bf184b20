# frozen_string_literal: true

require_relative 'support'

RSpec.describe 'the lifecycle hooks', type: :cluster do
  ClusterSpec.with_lab(self, 'hook', ops: ClusterSpec::SMALL + ClusterSpec::RSYNC, properties: { 'mariadb.drain.grace' => '20s' })

  after { |example| put_right unless example.exception || example.metadata[:last] }

  def hook(instance, name, env: {}, limit: 120) = lab.exec(instance, "/var/vcap/jobs/mariadb/bin/#{name}", env: env, limit: limit)
  def crash(instance)
    lab.monit(instance, 'unmonitor', 'mariadb')
    lab.kill(instance)
    wait('the supervisor to be gone') { supervisor(instance).nil? }
  end

  def refused(instance, words)
    pid = lab.mariadbd(instance)
    expect { lab.stop(instance) }.to raise_error(Lab::Failed, words)
    expect([lab.mariadbd(instance), lab.agent(instance).running?]).to eq([pid, true]), 'it is left as it was, and watched'
    drain = lab.exec(instance, '/var/vcap/jobs/mariadb/bin/drain', 'job_shutdown', 'hash_unchanged')
    expect([drain.status, drain.out, drain.err]).to match([3, '', words])
    expect(lab.mariadbd(instance)).to eq(pid)
  end

  describe 'pre-stop and drain' do
    it 'refuse where the rest would lose its quorum, in a sentence that says so and what to do (Q12, S1)' do
      lab.power_off(2)
      wait_healthy_among([0, 1])
      refused(1, %r{mysql/1 does not leave: it would leave 1 serving; .*not seen: mysql/2: .*--skip-drain})
    end

    it 'refuse while another member is down for a reason of its own; --skip-drain is graceful all the same' do
      crash(2)
      wait_healthy_among([0, 1])
      refused(1, %r{it would leave 1 serving; .*not well: mysql/2: neither mariadbd nor galera-start runs})
      lab.stop(1, skip_drain: true)
      expect(grastate(1)['seqno']).to match(/\A\d+\z/)
      expect([wsrep(0, 'cluster_size'), synced?(0)]).to eq(['1', true])
      lab.start(1, await: false)
    end

    it 'wait for a member that is receiving its state (Q6)' do
      lab.power_off(2)
      wait_healthy_among([0, 1])
      lab.vm(2).remove_disk
      holding_the_donor do
        lab.recreate(2, await: false)
        wait('mysql/2 to get a full copy') { observation(2).dig('process', 'state_transfer') }
        @leaving = Thread.new { lab.drain(0) }
        wait('the gate to say for whom it waits') { log(0, 'mariadb/drain.log').match?(/waiting.*receiving state: mysql.2/) }
        expect(synced?(0) || wsrep(0, 'local_state_comment') == 'Donor/Desynced').to be(true)
      end
      @leaving.join
      wait_healthy_among([1, 2])
      lab.start(0)
    end

    # Whoever becomes the donor has its script stopped as it begins, until the block has run.
    def holding_the_donor
      holders = [0, 1].map { |i| Thread.new { lab.exec(i, 'timeout', '100', 'sh', '-c', "until pkill -STOP -f '[w]srep_sst_rsync'; do sleep 0.02; done") } }
      yield
    ensure
      [0, 1].each { |i| lab.exec(i, 'pkill', '-f', '^timeout 100 sh') }
      holders.each(&:join)
      [0, 1].each { |i| lab.exec(i, 'pkill', '-CONT', '-f', '[w]srep_sst_rsync') }
    end

    it 'let clients go: health says leaving at once, connections end when they end, or after the grace' do
      expect(lab.sql(1, "CREATE USER IF NOT EXISTS client IDENTIFIED BY 'x'")).to be_ok
      client = "mariadb --no-defaults -h #{lab.address(1)} -u client -px --batch -N -e"
      cut = ->(n) { expect(log(1).scan(/leave.clients_cut .*connections=1 after_s=20/).size).to eq(n) }
      stopped_under = lambda do |seconds, &block|
        busy = Thread.new { lab.exec(0, 'sh', '-c', "exec #{client} 'SELECT SLEEP(#{seconds})'") }
        wait('the client to be there') { value(1, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER='client'") == '1' }
        stopping = Thread.new { lab.stop(1) }
        block&.call
        stopping.join
        lab.start(1)
        busy.value
      end
      expect(stopped_under.call(5).out).to eq("0\n"), 'it was let finish'
      cut.call(0)
      ended = stopped_under.call(90) do
        wait('health to say so', 19) { http(1, '/', auth: false).then { |status, body| status == 503 && body.start_with?('leaving') } }
      end
      expect(ended).not_to be_ok
      cut.call(1)
      begun = Time.now
      lab.drain(1)
      expect(Time.now - begun).to be < 19
    end
  end

  describe 'stop and start of all' do
    it 'works in BOSH\'s order, one after the other, with no errand: the first waits for none (K10)' do
      write(0, 'before bosh stop')
      lab.stop
      expect(lab.members.map { |i| lab.mariadbd(i) }).to eq([nil, nil, nil])
      expect(log(2, 'mariadb/drain.log').lines.last(3).join).to include('all others have left in order')
      lab.start
      expect(log(0, 'mariadb/post-start.stdout.log')).to match(%r{mysql/0 DOES NOT SERVE YET, .*Not started yet: mysql/1, mysql/2\.})
      expect(log(2, 'mariadb/post-deploy.stdout.log').lines.last).to include('mysql/2 serves')
      wait_healthy
      expect_nothing_lost
    end

    it 'with --hard too, where the VMs are gone, and all at once' do
      write(0, 'before bosh stop --hard')
      lab.stop(nil, hard: true)
      lab.start(nil, parallel: true)
      wait_healthy
      lab.stop(nil, parallel: true)
      lab.start(nil, parallel: true)
      wait_healthy
      expect_nothing_lost
    end

    it 'of one that is wedged before SQL ends in seconds, and a restart of all from there comes back (K9, K10, K11)' do
      write(0, 'before the outage')
      lab.cut(2)
      wait_healthy_among([0, 1])
      write(0, 'while mysql/2 is away')
      lab.cut_link(0, 1)
      all_down
      start_all
      lab.members.each { |i| wait("#{i} to wait") { supervisor(i)&.then { |s| %w[waiting starting].include?(s['phase']) } } }
      begun = Time.now
      lab.stop(1)
      expect(Time.now - begun).to be < 30
      lab.heal
      lab.start(1, await: false)
      lab.restart
      wait_healthy
      expect_nothing_lost
    end
  end

  describe 'post-start' do
    it 'fails at once, with the reason, where a person must decide (Q10)' do
      write(0, 'common')
      [0, 1].each { |i| lab.stop(i) }
      write_only_on_two
      lab.power_off(2)
      [0, 1].each { |i| lab.start(i, await: false) }
      forced = lab.exec(0, '/var/vcap/jobs/bootstrap/bin/run', '--node', 'mysql/1', '--accept-missing', 'mysql/2')
      expect(forced.words).to include('Recovered in part'), forced.to_s
      lab.power_on(2)
      begun = Time.now
      expect { lab.start(2) }.to raise_error(Lab::Failed, %r{post-start of mariadb failed.*mysql/2 does not come up: AheadOfCluster}m)
      expect(Time.now - begun).to be < 60
      expect(ctl(2, 'rejoin', '--abandon-data', '--delete')).to be_ok
      wait_healthy
    end

    def write_only_on_two
      expect(lab.sql(2, "INSERT INTO ledger.entries VALUES ('only here')")).to be_ok
      lab.stop(2)
    end
  end

  describe 'pre-start' do
    it 'begins no database where the persistent disk is not mounted or too small, and never waits for the cluster' do
      lab.stop(2)
      lab.exec(2, 'umount', '/var/vcap/store')
      unmounted = hook(2, 'pre-start')
      expect([unmounted.status, unmounted.err]).to match([1, a_string_including('the persistent disk is not mounted at /var/vcap/store')])
      lab.exec(2, 'mount', '-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', '/var/vcap/store')
      small = hook(2, 'pre-start')
      expect([small.status, small.err]).to match([1, a_string_including('MiB free, and redo log and gcache alone take 32 MiB')])
      lab.exec(2, 'umount', '/var/vcap/store')
      lab.exec(2, 'mount', '--bind', "#{lab.vm(2).vcap('store')}", '/var/vcap/store')
      lab.power_off(0, 1)
      begun = Time.now
      expect(hook(2, 'pre-start')).to be_ok
      expect(Time.now - begun).to be < 15
    end

    it 'goes on where an initialisation was interrupted' do
      lab.stop(2)
      remove(2, '')
      lab.exec(2, 'setpriv', '--reuid=vcap', '--regid=vcap', '--init-groups', 'sh', '-c', 'cd /var/vcap/store/mariadb && mkdir -p data.initialising/mysql && touch data.initialising/ibdata1')
      expect(hook(2, 'pre-start')).to be_ok
      expect(lab.exec(2, 'ls', '/var/vcap/store/mariadb').out).not_to include('initialising')
      lab.start(2)
      wait_healthy
    end
  end

  it 'post-stop keeps the disk from being taken away under a server that lives' do
    alive = hook(2, 'post-stop')
    expect([alive.status, alive.err]).to match([1, /galera-start \(process \d+\) and mariadbd \(process \d+\) of mysql\/2 still runs; its disk must not be taken away/])
    expect(synced?(2)).to be(true)
  end

  describe 'delete-deployment' do
    it 'ends also with a sick member', :last do
      crash(2)
      lab.delete
      expect(lab.vms.map(&:up?)).to all(be(false))
    end
  end
end
