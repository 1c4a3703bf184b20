# frozen_string_literal: true

require 'time'
require_relative 'support'

RSpec.describe 'maintenance of a real cluster', type: :cluster do
  ClusterSpec.with_lab(self, 'maint', ops: ClusterSpec::SMALL + ClusterSpec::RSYNC)

  # As a person over `bosh ssh` does. What is told is wrapped for a terminal, and read here in one line.
  def maintenance(*arguments, on: 0)
    result = lab.exec(on, '/var/vcap/jobs/maintenance/bin/run', *arguments, limit: 60)
    LabParts::Result.new(result.out.gsub(/\s+/, ' '), result.err, result.status)
  end

  def switch_on(*arguments, owner: 'alice', on: 0)
    result = maintenance('on', '--owner', owner, '--reason', 'a new switch', *arguments, on: on)
    expect(result).to be_ok, result.to_s
    result.out
  end

  def switch_off(*arguments)
    result = maintenance('off', *arguments)
    expect(result).to be_ok, result.to_s
    result.out
  end

  def status(instance = 0) = ctl(instance, 'status').out.gsub(/\s+/, ' ')
  def events(instance, name) = lab.exec(instance, 'grep', '-c', "\"event\":\"#{name}\"", '/var/vcap/store/mariadb/galera/journal.jsonl').out.to_i
  # What it says of each scope; nothing where its agent does not answer.
  def kept(instance)
    answered, body = http(instance, '/v1/maintenance')
    answered == 200 ? JSON.parse(body)['notices'].to_h { |n| [n['scope'], n['is']] } : {}
  end

  def pids = lab.instances.to_h { |i| [i, lab.mariadbd(i)] }

  def expect_told(result, status, *words)
    expect([result.status, result.words]).to match([status, a_string_including(*words)])
  end

  def refuses_orders = match([409, a_string_including('maintenance of the whole cluster is on')])

  # What BOSH's next deploy would write, with other properties.
  def deploy_errand(**changes)
    config = { mode: 'on', reason: 'r', owner: 'the errand', for: '1h', force: false, replace: false }.merge(changes)
    lab.instances.each do |i|
      lab.exec(i, 'sh', '-c', 'cat > /var/vcap/jobs/maintenance/config/maintenance.yml', stdin: JSON.dump(config))
    end
  end

  # Whatever happens in the block, and in several of monit's cycles and rounds of asking after it. The journal
  # tells of every start; a look at processes would also meet one that only finds its position.
  def expect_no_start(*instances)
    starts = -> { instances.to_h { |i| [i, events(i, 'mariadbd.started')] } }
    before = starts.call
    yield
    10.times { expect(starts.call).to eq(before); sleep 0.5 }
  end

  def adopted?(instance, pid) = supervisor(instance)&.dig('child')&.values_at('pid', 'mode') == [pid, 'adopted']

  describe 'of the whole cluster' do
    it 'is one command, acknowledged by each member, and shown everywhere (H1, H3, H18)' do
      told = switch_on('--for', '1h', on: 1)
      expect(told).to include('maintenance of the whole cluster is on, by alice: a new switch')
      expect(told).to include(*lab.instances.map { |i| "#{i} acknowledged" })
      expect(lab.instances.map { |i| kept(i) }).to all(eq('cluster' => 'on'))
      expect(lab.instances.map { |i| events(i, 'maintenance.on') }).to eq([1, 1, 1])
      # Health is answered from the last look.
      wait('health to show it') { JSON.parse(http(0, '/api/v1/status', auth: false).last).values_at('healthy', 'maintenance') == [true, true] }
      expect(http(0, '/', auth: false)).to eq([200, 'synced'])
      expect(status(2)).to start_with('instance').and include('Healthy:', 'warning Maintenance: maintenance of the whole cluster is on, by alice')
    end

    it 'is not taken from its owner by another, who is shown the first' do
      refused = maintenance('on', '--owner', 'bob', '--reason', 'mine', on: 2)
      expect_told(refused, 3, 'Refused: maintenance of the whole cluster is on, by alice', '--replace')
      taken = maintenance('on', '--owner', 'bob', '--reason', 'mine', '--replace', on: 2)
      expect([taken.status, taken.out]).to match([0, a_string_including('by bob: mine')])
      switch_on('--replace')
    end

    it 'outlives agent and supervisor, whose successors touch no mariadbd (H17)' do
      before = pids
      lab.instances.each { |i| lab.exec(i, 'pkill', '-KILL', '-x', 'galera-agent') }
      lab.instances.each { |i| lab.exec(i, 'pkill', '-KILL', '-x', 'galera-start') }
      wait('every mariadbd to be adopted') { lab.instances.all? { |i| adopted?(i, before[i]) } }
      wait('every agent to say it again') { lab.instances.all? { |i| http(i, '/', auth: false).first == 200 && kept(i) == { 'cluster' => 'on' } } }
      expect(pids).to eq(before)
    end

    it 'keeps a killed mariadbd down, however often monit restarts the supervisor, and says why (Q21, H1, H19)' do
      expect_no_start(2) do
        lab.kill(2)
        wait_saying('mysql/2', /maintenance of the whole cluster is on, by alice: a new switch .*nothing is begun by itself; otherwise: join/)
        lab.exec(2, 'pkill', '-KILL', '-x', 'galera-start')
        wait_saying('mysql/2', /maintenance of the whole cluster is on/)
        lab.monit(2, 'restart', 'mariadb')
        # Whoever is refused has let nobody start.
        forced = lab.exec(2, '/var/vcap/jobs/bootstrap/bin/run', '--node', 'mysql/2', '--during-maintenance')
        expect_told(forced, 3, 'Refused: a primary component exists')
      end
      wait_saying('mysql/2', /maintenance of the whole cluster is on/)
      expect(supervisor(2).dig('stance', 'permit')).to be_nil
      # The true word is told, and that maintenance is on besides.
      expect(http(2, '/')).to match([503, a_string_matching(/\Astopped: .*; maintenance is on\z/)])
      expect(status).to include('Degraded:', 'Maintenance is on, so nothing is begun by itself', '/var/vcap/jobs/maintenance/bin/run start --member mysql/2', 'warning Maintenance:')
      expect(errand('mysql/0')['mysql/0']).to have_attributes(status: 3, out: a_string_including('Refused: maintenance of the whole cluster is on'))
    end

    it 'lets a person start one member by name, once' do
      let = maintenance('start', '--member', 'mysql/2')
      expect([let.status, let.out]).to match([0, a_string_including('mysql/2 may start once')])
      wait_healthy
      expect(events(2, 'maintenance.permit')).to eq(1)
      expect(supervisor(2).dig('stance', 'permit')).to be_nil
    end

    it 'lets BOSH stop and start a member, which joins (H4)' do
      expect(lab.drain(1).strip).to end_with('0')
      expect(grastate(1)['seqno']).to match(/\A\d+\z/)
      expect_no_start(1) { lab.stop(1) }
      lab.start(1)
      wait_healthy
      expect(supervisor(1).dig('stance', 'permit')).to be_nil
    end

    it 'when a power loss of all comes, leaves them as they are until a person ends it by force (H5, H9, H16)' do
      write(0, 'before the power loss in maintenance')
      before = lineage(0)
      expect_no_start(*lab.instances) do
        lab.power_off(*lab.instances)
        lab.power_on(*lab.instances)
        lab.instances.each { |i| wait_saying(i, /maintenance of the whole cluster is on.*otherwise: restore the saved view together/) }
      end
      refused = maintenance('off', '--owner', 'alice')
      expect_told(refused, 3, 'by themselves:', 'mysql/1 would restore the saved view together', 'Refused: not all is well')
      expect(lab.instances.map { |i| lab.mariadbd(i) }).to all(be_nil)
      told = switch_off('--owner', 'alice', '--force')
      expect(told).to include('mysql/2 acknowledged', 'Each member looks 3 times more')
      wait_healthy
      expect(log(0)).to include('it looks 3 times more before it does anything by itself')
      expect_nothing_lost
      expect(lineage(0)).to eq(before)
      expect(lab.instances.map { |i| kept(i) }).to all(eq('cluster' => 'off'))
    end

    it 'lets a person go on from a member by name, and ends without force once all is well (H9, H16)' do
      write(0, 'before all were killed in maintenance')
      switch_on
      kill_all
      lab.instances.each { |i| wait_saying(i, /maintenance of the whole cluster is on/) }
      forget_views
      refused = lab.exec(1, '/var/vcap/jobs/bootstrap/bin/run')
      expect_told(refused, 3, 'Refused: maintenance of the whole cluster is on', '--during-maintenance')
      expect(lab.exec(1, '/var/vcap/jobs/bootstrap/bin/run', '--during-maintenance').status).to eq(2)
      forced = lab.exec(1, '/var/vcap/jobs/bootstrap/bin/run', '--node', 'mysql/1', '--during-maintenance')
      expect([forced.status, forced.out]).to match([0, a_string_including('Recovered: mysql/1 was bootstrapped')]), forced.to_s
      wait_healthy
      expect_nothing_lost
      expect(switch_off('--owner', 'alice')).to include('Healthy:', 'nothing would happen by itself', 'mysql/2 acknowledged')
    end

    it 'a member that was away takes over whatever is newer, on or off' do
      switch_on
      lab.power_off(2)
      wait('the others to go on') { [0, 1].all? { |i| wsrep(i, 'cluster_size') == '2' } }
      partly = maintenance('off', '--force')
      expect_told(partly, 1, 'mysql/1 acknowledged', 'mysql/2 NOT acknowledged', 'takes it over from the others')
      lab.power_on(2)
      wait('mysql/2 to have heard') { kept(2) == { 'cluster' => 'off' } }
      wait_healthy
      lab.power_off(2)
      partly = maintenance('on', '--owner', 'alice', '--reason', 'r')
      expect(partly.status).to eq(1), partly.to_s
      lab.power_on(2)
      # Before its agent has heard of it, its supervisor is told by the others.
      wait_saying('mysql/2', /maintenance of the whole cluster is on/)
      wait('mysql/2 to have heard') { kept(2) == { 'cluster' => 'on' } }
      expect(supervisor(2)['phase']).to eq('waiting')
      switch_off('--force')
      wait_healthy
    end
  end

  describe 'of one member' do
    it 'keeps that member down, and no other (H2)' do
      switch_on('--member', 'mysql/1')
      before = lab.mariadbd(2)
      lab.kill(2)
      wait('another mariadbd on mysql/2') { (now = lab.mariadbd(2)) && now != before }
      wait_healthy
      expect_no_start(1) do
        lab.kill(1)
        wait_saying('mysql/1', %r{maintenance of mysql/1 is on, by alice})
      end
      expect_told(maintenance('off'), 0, 'nothing to end', '/var/vcap/jobs/maintenance/bin/run off --member mysql/1')
      refused = maintenance('off', '--member', 'mysql/1')
      expect_told(refused, 3, 'mysql/1 would join', 'mysql/1: MemberDown')
      switch_off('--member', 'mysql/1', '--force')
      wait_healthy
    end

    it 'whose notices cannot be read counts as on, for a person to set aside' do
      file = '/var/vcap/store/mariadb/galera/maintenance.json'
      lab.exec(1, 'sh', '-c', "echo '{' > #{file}")
      wait('status to tell it') { status.include?('warning MaintenanceInconsistent: what mysql/1 knows of maintenance cannot be read') }
      expect_no_start(1) do
        lab.kill(1)
        wait_saying('mysql/1', /cannot be read .*counts as on/)
      end
      refused = maintenance('on', '--owner', 'alice', '--reason', 'r')
      expect_told(refused, 3, 'cannot be read')
      switch_off('--force')
      expect(lab.exec(1, 'test', '-e', "#{file}.damaged")).to be_ok
      wait_healthy
    end
  end

  describe 'at its beginning and its end' do
    it 'switched on in the middle of something says what, and goes on showing it when forced (H4, H5)' do
      one = { order: '00000000-0000-4000-8000-00000000000a', owner: 'a slow errand', reason: 'test', seconds: 300 }
      http(2, '/v1/hold', method: 'POST', body: one)
      refused = maintenance('on', '--owner', 'alice', '--reason', 'r')
      expect_told(refused, 3, 'Under way at this moment:', 'mysql/2: held by a slow errand: test', '--force')
      expect(kept(0)['cluster']).not_to eq('on')
      forced = switch_on('--force')
      expect(forced).to include('Left undone, and now yours', 'mysql/2: held by a slow errand')
      expect(status(1)).to include('warning UnfinishedOperation: mysql/2: held by a slow errand: test')
      expect(http(2, '/v1/stop', method: 'POST', body: one.slice(:order))).to refuses_orders
      expect(http(2, '/v1/release', method: 'POST', body: one.slice(:order)).first).to eq(200)
      wait('what is done to be shown no more') { !status(1).include?('UnfinishedOperation') }
      expect(http(2, '/v1/hold', method: 'POST', body: one)).to refuses_orders
      switch_off
    end

    it 'whose time is over ends by itself when all is well, and not before (H9)' do
      lab.stop(2)
      lab.monit(2, 'start', 'galera-agent')
      switch_on('--for', '3s')
      wait('status to tell that its time is over') { status.include?('warning MaintenanceExpired:') }
      expect_no_start(2) do
        lab.monit(2, 'start', 'mariadb')
        wait_saying('mysql/2', /maintenance of the whole cluster is on/)
      end
      expect(kept(0)['cluster']).to eq('on'), 'it ended although a person has not ended it'
      maintenance('start', '--member', 'mysql/2', '--reason', 'done')
      wait_healthy
      wait('it to end by itself') { lab.instances.all? { |i| kept(i)['cluster'] == 'off' } }
      expect(maintenance('status').out).to include('is off, by its time being over, with all well and nothing to do')
    end

    it 'is what the errand does on all instances at once, as the deployment says (H3)' do
      results = lab.run_errand('maintenance')
      expect(results.values.map(&:status)).to eq([0, 0, 0]), told(results)
      deploy_errand(mode: 'on')
      results = lab.run_errand('maintenance')
      expect(results.values.map(&:status)).to eq([0, 0, 0]), told(results)
      expect(results.values.map(&:out)).to all(include('is on, by the errand: r'))
      deploy_errand(mode: 'off')
      results = lab.run_errand('maintenance')
      expect(results.values.map(&:status)).to eq([0, 0, 0]), told(results)
      expect(lab.instances.map { |i| kept(i)['cluster'] }).to all(eq('off'))
    end

    it 'refuses bad input with a clear error, and changes nothing' do
      before = lab.instances.map { |i| observation(i)['maintenance']['notices'] }
      [
        [%w[on], /--reason/],
        [%w[on --reason r --for soon], /for/],
        [%w[on --reason r --for 90d], /until: .*31 days/],
        [%w[on --reason r --until yesterday], /until/],
        [['on', '--reason', "two\nlines"], /reason: expected one line/],
        [%w[on --reason r --member mysql/9], %r{there is no member "mysql/9"}],
        [%w[maybe], /maybe/]
      ].each do |arguments, error|
        result = maintenance(*arguments)
        expect([result.status, result.err]).to match([2, error])
      end
      bad = { notices: [{ scope: 'cluster', epoch: 99, is: 'on', owner: ' ', reason: 'r', since: 1, until: 2 }] }
      [bad, { notices: [{ scope: 'mysql/9', epoch: 99, is: 'off', by: 'x', at: 1 }] }, { notice: [] }, '{'].each do |body|
        expect(http(0, '/v1/maintenance', method: 'POST', body: body)).to match([400, a_string_including('error')])
      end
      old = { notices: [{ scope: 'cluster', epoch: 1, is: 'off', by: 'x', at: 1 }] }
      expect(http(0, '/v1/maintenance', method: 'POST', body: old)).to match([409, a_string_including('a newer notice')])
      expect(http(0, '/v1/permit', method: 'POST', body: { by: '', reason: 'r', seconds: 5 }).first).to eq(409)
      expect(lab.instances.map { |i| observation(i)['maintenance']['notices'] }).to eq(before)
    end
  end
end
