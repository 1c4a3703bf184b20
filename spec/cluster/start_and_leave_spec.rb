# frozen_string_literal: true

require_relative 'support'

RSpec.describe 'a member of a real cluster', type: :cluster do
  ClusterSpec.with_lab(self, 'life', ops: ClusterSpec::SMALL + ClusterSpec::RSYNC,
                       properties: { 'mariadb.seeded_databases' => ['shop'],
                                     'mariadb.seeded_users' => { 'app' => { 'role' => 'schema', 'databases' => ['shop'], 'password' => %q(it's "se\\cret"), 'host' => '%' } } })

  describe 'first deploy (Q17, Q18, G1)' do
    it 'is begun by the designated instance only, and the others join' do
      modes = lab.instances.to_h { |i| [i, log(i).scan(/mariadbd.started .*mode=(\w+)/).flatten] }
      expect(modes).to eq('mysql/0' => ['Bootstrap'], 'mysql/1' => ['Join'], 'mysql/2' => ['Join'])
      lineages = lab.instances.map { |i| memory(i)['lineage'] }
      expect(lineages.uniq.size).to eq(1)
      expect(lineages.first.map { |i| [i['number'], i['by'], i['proof']] }).to eq([[1, 'mysql/0', 'FirstDeploy']])
    end

    it 'lets a write on one member be read on all (Q1)' do
      write(0, 'first')
      expect_nothing_lost
    end

    it 'seeds databases and users, who can log in from elsewhere' do
      address = lab.address(0)
      login = lab.exec(1, 'mariadb', '--no-defaults', '-h', address, '-u', 'app', %q(-pit's "se\\cret"), '-e', 'CREATE TABLE shop.t (a INT); SELECT CURRENT_USER()')
      expect(login.out).to include('app@%'), login.to_s
      other = lab.exec(1, 'mariadb', '--no-defaults', '-h', address, '-u', 'app', %q(-pit's "se\\cret"), '-e', 'CREATE DATABASE other')
      expect(other.err).to include('Access denied')
    end

    it 'keeps secrets out of logs, out of command lines, and in files that others do not read' do
      secrets = [credentials(0).last, %q(it's "se\\cret")]
      told = lab.exec(0, 'sh', '-c', 'cat /var/vcap/sys/log/*/*; cat /proc/[0-9]*/cmdline').out
      secrets.each { |s| expect(told).not_to include(s) }
      modes = lab.exec(0, 'sh', '-c', 'stat -L -c "%a %U:%G" /var/vcap/jobs/mariadb/config/member.yml /var/vcap/jobs/mariadb/config/seed.yml /var/vcap/jobs/galera-agent/config/galera-agent.yml').out
      # Root's, for they say what root does: vcap reads them by its group, and writes none of them (C1).
      expect(modes.lines.map(&:chomp).uniq).to eq(['640 root:vcap'])
    end

    it 'runs server, supervisor and agent as vcap' do
      users = lab.exec(0, 'sh', '-c', 'ps -o user= -C mariadbd,galera-start,galera-agent').out.split.uniq
      expect(users).to eq(['vcap'])
    end
  end

  describe 'a crash' do
    it 'is healed by monit, and the member comes back with IST, not with a full copy (Q9, Q19)' do
      before = lab.mariadbd(1)
      told_before = log(1, 'mariadb/mariadb.err.log').size
      write(0, 'before the crash')
      lab.kill(1)
      write(0, 'during the crash')
      wait('another mariadbd on mysql/1') { (now = lab.mariadbd(1)) && now != before }
      wait_healthy
      since = log(1, 'mariadb/mariadb.err.log')[told_before..]
      expect(since).to include('rsync IST completed on joiner').and(not_include('SST completed on joiner'))
      expect_nothing_lost
    end

    it 'of a server that cannot live is tried more and more rarely, and told; once it is mended a restart tries at once (G8)' do
      config = '/var/vcap/jobs/mariadb/config/my.cnf'
      lab.exec(1, 'cp', '-p', config, '/tmp/my.cnf')
      lab.exec(1, 'sh', '-c', "printf '[mysqld]\\nno-such-option=1\\n' >> #{config}")
      lab.kill(1)
      wait_saying('mysql/1', /wait [12]0s: mariadbd died [34] times in a row .*mariadb.err.log; then join/, 120)
      lab.exec(1, 'sh', '-c', "cat /tmp/my.cnf > #{config}")
      lab.monit(1, 'restart', 'mariadb')
      wait_healthy
      expect_nothing_lost
    end

    it 'of a server whose position cannot be found is looked into again, until it can (G8)' do
      config = '/var/vcap/jobs/mariadb/config/my.cnf'
      lab.exec(2, 'cp', '-p', config, '/tmp/my.cnf')
      lab.exec(2, 'sh', '-c', "printf '[mysqld]\\ninnodb_page_size=4096\\n' >> #{config}")
      lab.kill(2)
      wait_saying('mysql/2', /UnknownPosition: .*page size/)
      lab.exec(2, 'sh', '-c', "cat /tmp/my.cnf > #{config}")
      wait_healthy
      expect_nothing_lost
    end

    it 'is not healed where monit does not monitor, and status says so (Q19, K3, K14)' do
      lab.monit(2, 'unmonitor', 'mariadb')
      lab.kill(2)
      wait('the supervisor to end with its mariadbd') { supervisor(2).nil? }
      wait('health to tell it') { http(2, '/').then { |status, body| status == 503 && body.start_with?('stopped:') } }
      # Several of monit's cycles.
      10.times { expect(lab.mariadbd(2)).to be_nil; sleep 0.5 }
    ensure
      lab.monit(2, 'start', 'mariadb')
      wait_healthy
    end

    it 'of the supervisor does not touch mariadbd: its successor adopts it (H17)' do
      before = lab.mariadbd(0)
      lab.exec(0, 'pkill', '-KILL', '-x', 'galera-start')
      wait('another supervisor that adopted mariadbd') { supervisor(0)&.dig('child', 'mode') == 'adopted' }
      lab.exec(0, 'pkill', '-KILL', '-x', 'galera-agent')
      wait('the agent to be back') { http(0, '/', auth: false).first == 200 }
      expect(lab.mariadbd(0)).to eq(before)
      wait('the adopted member to be settled') { log(0).lines.last(5).any? { |l| l.include?(' synced ') } }
    end
  end

  describe 'leaving' do
    it 'by drain leaves a primary component of two and a clean grastate.dat (Q4)' do
      expect(lab.drain(2).strip).to end_with('0')
      wait('the others to be two') { [0, 1].all? { |i| wsrep(i, 'cluster_size') == '2' && synced?(i) } }
      expect(grastate(2)).to include('seqno' => a_string_matching(/\A\d+\z/), 'uuid' => a_string_matching(/[1-9a-f]/))
      expect(supervisor(2)).to be_nil
      expect(lab.exec(2, 'pgrep', '-x', 'galera-start').ok?).to be(false)
      again = Time.now
      expect(lab.drain(2).strip).to end_with('0')
      expect(Time.now - again).to be < 5
    ensure
      lab.monit(2, 'start', 'mariadb')
      wait_healthy
    end

    it 'by SIGTERM alone is graceful too, as with --skip-drain' do
      lab.monit(2, 'unmonitor', 'mariadb')
      lab.exec(2, 'pkill', '-TERM', '-x', 'galera-start')
      wait('mariadbd to be gone') { lab.mariadbd(2).nil? }
      expect(grastate(2)['seqno']).to match(/\A\d+\z/)
    ensure
      lab.monit(2, 'start', 'mariadb')
      wait_healthy
    end

    it 'before SQL is open ends within 30 s, though mariadbd ignores SIGTERM there (K2, K5, K9, K11)' do
      # The agents reach each other, Galera does not: all restore their view, and wait for each other.
      lab.instances.each { |i| lab.exec(i, 'nft', 'add table inet galera; add chain inet galera in { type filter hook input priority 0; }; add rule inet galera in tcp dport 4567 drop; add rule inet galera in tcp sport 4567 drop') }
      kill_all
      wait('mysql/1 to wait before SQL') { supervisor(1)&.then { |s| s['phase'] == 'starting' && s.dig('child', 'mode') == 'restore_view' } }
      wait('4567 open and 3306 closed to be told as such') { http(1, '/').last.start_with?('waiting-for-primary:') }
      pid = lab.mariadbd(1)
      lab.kill(1, 'TERM')
      sleep 3
      expect(lab.mariadbd(1)).to eq(pid), 'mariadbd listened to SIGTERM, so this shows nothing'
      begun = Time.now
      expect(lab.drain(1).strip).to end_with('0')
      expect(Time.now - begun).to be < 30
      expect(lab.exec(1, 'sh', '-c', 'pgrep -x mariadbd; pgrep wsrep_sst').out).to eq('')
    ensure
      lab.instances.each { |i| lab.exec(i, 'nft', 'delete table inet galera') }
      lab.monit(1, 'start', 'mariadb')
      wait_healthy(limit: 180)
    end
  end

  describe 'bad input changes nothing and says what is wrong' do
    def start(*arguments) = lab.exec(2, '/var/vcap/packages/mariadb-galera/bin/galera-start', *arguments)

    def changed_config(&change)
      config = JSON.parse(lab.exec(2, 'cat', '/var/vcap/jobs/mariadb/config/member.yml').out)
      change.call(config)
      lab.exec(2, 'sh', '-c', 'cat > /tmp/member.yml', stdin: JSON.dump(config))
      '/tmp/member.yml'
    end

    it 'a wrong key is named with its path' do
      result = start('--config', changed_config { |c| c['timeouts']['stopp'] = '1s' }, '--detach')
      expect([result.status, result.err]).to match([2, a_string_including('timeouts', 'stopp', 'expected')])
    end

    it 'a wrong argument ends with 2' do
      expect(start('--config', 'x', '--no-such-thing').status).to eq(2)
    end

    it 'a drain that cannot be done prints nothing on stdout, because an integer there means success to BOSH' do
      result = lab.exec(2, '/var/vcap/packages/mariadb-galera/bin/galera-drain', '--config', changed_config { |c| c.delete('agents') }, 'job_shutdown', 'hash_unchanged')
      expect([result.status, result.out, result.err]).to match([2, '', a_string_including('agents')])
      expect(synced?(2)).to be(true)
    end

    it 'a second start changes nothing' do
      before = lab.mariadbd(2)
      result = start('--config', '/var/vcap/jobs/mariadb/config/member.yml', '--detach')
      expect([result.status, lab.mariadbd(2)]).to eq([0, before])
    end

    it 'an unreadable data directory starts nothing, is told, and is looked at again (B6)' do
      lab.drain(2)
      lab.exec(2, 'chmod', '0', '/var/vcap/store/mariadb/data')
      before = lab.exec(2, 'sh', '-c', 'find /var/vcap/store/mariadb/data -type f | sort | xargs md5sum').out
      lab.monit(2, 'start', 'mariadb')
      wait_saying('mysql/2', %r{Permission denied})
      expect(lab.mariadbd(2)).to be_nil
      expect(lab.exec(2, 'sh', '-c', 'find /var/vcap/store/mariadb/data -type f | sort | xargs md5sum').out).to eq(before)
    ensure
      lab.exec(2, 'chmod', '750', '/var/vcap/store/mariadb/data')
      wait_healthy
    end

    it 'a port that is taken ends the agent with the address' do
      lab.exec(2, 'pkill', '-STOP', '-x', 'galera-agent')
      config = JSON.parse(lab.exec(2, 'cat', '/var/vcap/jobs/galera-agent/config/galera-agent.yml').out)
      lab.exec(2, 'sh', '-c', 'cat > /tmp/agent.yml', stdin: JSON.dump(config.merge('run_dir' => '/tmp/agent')))
      result = lab.exec(2, '/var/vcap/packages/mariadb-galera/bin/galera-agent', '--config', '/tmp/agent.yml')
      expect([result.status, result.err]).to match([1, a_string_including('listen on 0.0.0.0:9200', 'in use')])
    ensure
      lab.exec(2, 'pkill', '-CONT', '-x', 'galera-agent')
    end
  end
end

RSpec::Matchers.define_negated_matcher :not_include, :include
