# frozen_string_literal: true

require_relative 'support'

# What runs as root, as whom the rest runs, and what is told where monit hides what is said.
RSpec.describe 'root', type: :cluster do
  ClusterSpec.with_lab(self, 'root', nodes: 1, ops: ClusterSpec::SMALL + ClusterSpec::RSYNC,
                                     properties: { 'mariadb.hooks.directory' => '/var/vcap/hooks' })

  let(:start) { '/var/vcap/jobs/mariadb/bin/start' }
  let(:member) { '/var/vcap/jobs/mariadb/config/member.yml' }

  def sh(script) = lab.exec(0, 'sh', '-c', script)
  def as_vcap(*command) = lab.exec(0, 'setpriv', '--reuid=vcap', '--regid=vcap', '--init-groups', *command)
  def stat(path) = lab.exec(0, 'stat', '-L', '-c', '%a %U', path).out.chomp

  # What vcap may do while its database is down; then root starts it.
  def with_mariadb_stopped
    lab.monit(0, 'unmonitor', 'mariadb')
    expect(sh('/var/vcap/jobs/mariadb/bin/stop')).to be_ok
    yield
  ensure
    sh('/var/vcap/jobs/mariadb/bin/stop')
    sh('rm -f /var/vcap/store/mariadb/galera && mv -n /var/vcap/store/mariadb/galera.own /var/vcap/store/mariadb/galera') if sh('test -e /var/vcap/store/mariadb/galera.own').ok?
    sh('/var/vcap/jobs/mariadb/bin/start')
    lab.monit(0, 'monitor', 'mariadb')
    wait_healthy
  end

  before { sh('mkdir -p -m 0700 /var/vcap/secret && echo root >/var/vcap/secret/file && chmod 600 /var/vcap/secret/file') }

  it 'C1: gives nothing away and writes nothing through a link that vcap put there' do
    with_mariadb_stopped do
      expect(as_vcap('sh', '-c', 'cd /var/vcap/store/mariadb && mv galera galera.own && ln -s /var/vcap/secret galera')).to be_ok
      expect(as_vcap('sh', '-c', 'cd /var/vcap/sys/log/mariadb && rm -f drain.log && ln -s /var/vcap/secret/file drain.log')).to be_ok
      sh("#{start}; /var/vcap/jobs/mariadb/bin/drain job_shutdown hash_unchanged; /var/vcap/jobs/mariadb/bin/pre-start")
      expect([stat('/var/vcap/secret'), stat('/var/vcap/secret/file')]).to eq(['700 root', '600 root'])
      expect(sh('ls /var/vcap/secret; cat /var/vcap/secret/file').out).to eq("file\nroot\n")
      sh('rm /var/vcap/sys/log/mariadb/drain.log')
    end
  end

  it 'C1: signals nobody whom a lock of vcap names' do
    holds = <<~PYTHON
      import fcntl, sys, time
      lock = open('/var/vcap/sys/run/mariadb/galera-start.lock', 'w')
      fcntl.lockf(lock, fcntl.LOCK_EX)
      lock.write(sys.argv[1]); lock.flush()
      print('held', flush=True)
      time.sleep(60)
    PYTHON
    with_mariadb_stopped do
      pid = sh('sleep 300 >/dev/null 2>&1 & echo $!').out.strip
      holder = Thread.new { as_vcap('python3', '-c', holds, pid) }
      wait('the lock to name it') { sh('cat /var/vcap/sys/run/mariadb/galera-start.lock').out == pid }
      stopped = sh('/var/vcap/jobs/mariadb/bin/stop')
      expect([stopped.status, stopped.err]).to match([1, /EPERM/])
      expect(sh("kill -0 #{pid}")).to be_ok
      sh("kill #{pid}; pkill -f fcntl.lockf")
      holder.join
    end
  end

  it 'C1: believes no configuration that others can write' do
    with_mariadb_stopped do
      sh("chown vcap #{member}")
      expect([sh(start).status, sh(start).err]).to match([2, /member.yml: root does not believe it: .*member.yml belongs to another user than root/])
      expect(stat('/var/vcap/store/mariadb')).to eq('750 vcap')
    ensure
      sh("chown root:vcap #{member}")
    end
  end

  it 'C1: runs errands and the hooks of the operator as vcap' do
    sh('mkdir -p /var/vcap/hooks/post-bootstrap && echo "#!/bin/sh\nid -un >/tmp/who" >/var/vcap/hooks/post-bootstrap/who && chmod 755 /var/vcap/hooks/post-bootstrap/who')
    with_mariadb_stopped { forget_views }
    lab.monit(0, 'unmonitor', 'mariadb')
    lab.kill(0)
    wait('the supervisor to be gone') { supervisor(0).nil? }
    forget_views
    sh("#{start} && cat /dev/null")
    lab.monit(0, 'monitor', 'mariadb')
    wait_healthy
    told = errand
    expect(told.values).to all(be_ok)
    expect(lab.exec(0, 'stat', '-c', '%U', '/var/vcap/sys/log/bootstrap/galera-bootstrap.log').out).to eq("vcap\n")
    wait('the hook to have run') { sh('cat /tmp/who').out == "vcap\n" }
  end

  it 'D7: gives its raised priority to nobody' do
    expect(sh('ps -o ni= -C monit').out.split.uniq).to eq(['-10'])
    expect(sh('ps -o ni= -C galera-start,galera-agent,mariadbd').out.split).to eq(%w[0 0 0])
  end

  describe 'd5: what fails before a log is open is told in that log, since monit hides what is said' do
    def told(file) = -> { log(0, file).lines.last(5).join }

    it 'a configuration that is broken' do
      with_mariadb_stopped do
        sh("cp -p #{member} #{member}.own && echo '{' >#{member}")
        lab.monit(0, 'start', 'mariadb')
        wait('the line') { told('mariadb/galera-start.log').call.match?(/ERROR start.failed .*member.yml: is not YAML/) }
      ensure
        sh("mv #{member}.own #{member}")
      end
    end

    it 'a disk that is not mounted' do
      with_mariadb_stopped do
        sh('monit -c /var/vcap/monit/monitrc unmonitor galera-agent; /var/vcap/jobs/galera-agent/bin/stop; umount /var/vcap/store')
        %w[mariadb galera-agent].each { |service| lab.monit(0, 'start', service) }
        { 'mariadb/galera-start.log' => 'start', 'galera-agent/galera-agent.log' => 'agent' }.each do |file, name|
          wait("the line in #{file}", 60) { told(file).call.match?(/ERROR #{name}.failed .*the persistent disk is not mounted/) }
        end
        lab.exec(0, 'mount', '--bind', lab.vm(0).vcap('store'), '/var/vcap/store')
      end
    end
  end
end
