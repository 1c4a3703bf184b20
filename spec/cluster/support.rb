# frozen_string_literal: true

require 'json'
require 'io/wait'
require 'socket'
require_relative '../../ci/lab.d/lab'
require_relative 'standing_client'

# What cluster specs say to a lab, and how they wait: for events, with a bound, naming what they wait for.
module ClusterSpec
  SMALL = [File.join(RELEASE_DIR, 'templates/ops/small-footprint.yml')].freeze
  RSYNC = [File.join(RELEASE_DIR, 'templates/ops/rsync-sst.yml')].freeze
  LEDGERS = {}
  LOOKING = {}
  TLS = [File.join(RELEASE_DIR, 'templates/ops/tls.yml')].freeze

  # A lab that is removed whatever happens.
  def self.with_lab(context, name, **options)
    context.before(:context) do
      @lab = Lab.new(name)
      @lab.down
      @lab.up(**options)
      wait_healthy
    end
    context.after(:context) do
      keep_logs if RSpec.world.filtered_examples.values.flatten.any? { |e| e.exception && e.metadata[:file_path] == self.class.metadata[:file_path] }
      LOOKING.delete(@lab&.name)&.each_value(&:hang_up)
      @lab&.down
    end
    context.attr_reader :lab
  end

  def wait(what, limit = 90, &block) = LabParts.wait(what, limit, pause: 0.2, &block)

  def rows(instance, statement)
    result = lab.sql(instance, statement)
    raise "#{instance}: #{statement}: #{result}" unless result.ok?
    result.out.lines.map { |l| l.chomp.split("\t") }
  end

  def value(instance, statement) = rows(instance, statement).dig(0, 0)
  def wsrep(instance, name) = wsrep_status(instance, name)[name]

  # Galera's status variables of these names. Specs wait by looking at them.
  def wsrep_status(instance, *names)
    wanted = names.map { |n| "'wsrep_#{n}'" }.join(', ')
    looking = (LOOKING[lab.name] ||= {})[lab.vm(instance).name] ||= StandingClient.new(lab, instance)
    answer = looking.ask("SHOW GLOBAL STATUS WHERE Variable_name IN (#{wanted})")
    answer.to_h { |line| line.delete_prefix('wsrep_').split("\t", 2) }
  end

  SYNCED = { 'local_state_comment' => 'Synced', 'cluster_status' => 'Primary' }.freeze

  def synced?(instance, **further)
    looks = SYNCED.merge(further.transform_keys(&:to_s))
    wsrep_status(instance, *looks.keys) == looks
  end

  def wait_healthy(instances = lab.members, limit: 120)
    # Galera counts arbitrators too.
    size = instances.size + lab.having('arbitrator').size
    wait("#{instances.join(', ')} to be Synced in one component of #{size}", limit) do
      instances.all? { |i| synced?(i, cluster_size: size.to_s) }
    end
    # Where one runs it has seen that too: until then it takes the server for one that hears no SIGTERM.
    wait('supervisors to have seen that') { instances.all? { |i| [nil, 'serving'].include?(supervisor(i)&.fetch('phase')) } }
    # What follows Synced (seeding, lineage) is on disk once the supervisor remembers this history.
    wait('lineage on every member') { instances.all? { |i| memory(i)['incarnation'] && memory(i)['joining'].nil? } }
  end

  # Some of the members, where the others are off.
  def wait_healthy_among(of, limit: 120) = wait_healthy(of.map { |i| lab.vm(i).name }, limit: limit)

  def memory(instance)
    JSON.parse(File.read(lab.vm(instance).path('/var/vcap/store/mariadb/galera/memory.json')))['content']
  rescue Errno::ENOENT
    {}
  end

  def grastate(instance)
    lab.exec(instance, 'cat', '/var/vcap/store/mariadb/data/grastate.dat').out.scan(/^(\w+):\s*(\S+)/).to_h
  end

  def log(instance, file = 'mariadb/galera-start.log') = lab.exec(instance, 'cat', "/var/vcap/sys/log/#{file}").out

  # The agent's password lies in a file that only the VM's root and vcap read.
  def credentials(instance)
    config = JSON.parse(lab.exec(instance, 'cat', '/var/vcap/jobs/galera-agent/config/galera-agent.yml').out)
    [config['username'], config['password']]
  end

  # => [status, body]
  def http(instance, path, method: 'GET', body: nil, auth: true, from: instance, limit: 10)
    command = ['curl', '--silent', '--show-error', '--max-time', limit.to_s, '-X', method, '-w', '\n%{http_code}']
    command += ['-u', credentials(from).join(':')] if auth
    command += ['-H', 'Content-Type: application/json', '-d', body.is_a?(String) ? body : JSON.dump(body)] if body
    result = lab.exec(from, *command, "http://#{lab.address(instance)}:9200#{path}", limit: limit + 5)
    *lines, status = result.out.lines
    [status.to_i, lines.join.chomp]
  end

  def ctl(instance, *words, **options) = lab.exec(instance, '/var/vcap/packages/mariadb-galera/bin/galera-ctl', *words, **options)
  def observation(instance) = JSON.parse(http(instance, '/v1/observation').last)

  def supervisor(instance)
    socket = UNIXSocket.new(lab.vm(instance).path('/var/vcap/sys/run/mariadb/galera-start.sock'))
    socket.puts('{"op":"status"}')
    socket.close_write
    reply = socket.wait_readable(5) ? socket.read : ''
    reply.empty? ? nil : JSON.parse(reply)
  rescue SystemCallError
    nil
  ensure
    socket&.close
  end

  def wait_phase(instance, phase, limit = 60)
    wait("#{instance} to be #{phase} (#{supervisor(instance)&.fetch('detail', nil)})", limit) { supervisor(instance)&.fetch('phase', nil) == phase }
  end

  def errand(instance = nil) = lab.run_errand('bootstrap', instance: instance)

  # The runs' outputs, where an expectation fails.
  def told(results) = results.map { |n, r| "#{n} (#{r.status}):\n#{r}" }.join("\n")

  # Galera forgets its view, as after a restore of disks from snapshots; no saved view can bring it back.
  def forget_views(instances = lab.members)
    instances.each { |i| lab.exec(i, 'rm', '-f', '/var/vcap/store/mariadb/data/gvwstate.dat') }
  end

  # kill -9 everywhere at the same moment.
  def kill_all
    lab.members.map { |i| Thread.new { lab.exec(i, 'pkill', '-KILL', '-x', 'mariadbd') } }.each(&:join)
  end

  # All killed, views gone, every supervisor back and waiting.
  def total_outage
    all_down
    forget_views
    start_all
    lab.members.each { |i| wait_phase(i, 'waiting') }
  end

  # Acknowledged writes, to be found again on every member.
  def write(instance, note)
    lab.sql(instance, 'CREATE DATABASE IF NOT EXISTS ledger')
    lab.sql(instance, 'CREATE TABLE IF NOT EXISTS ledger.entries (note VARCHAR(80) PRIMARY KEY)')
    result = lab.sql(instance, "INSERT INTO ledger.entries VALUES ('#{note}')")
    raise "not acknowledged: #{note}: #{result}" unless result.ok?
    ledger << note
  end

  # A client that writes one row after the other on this instance, until it or the instance dies, while the
  # block runs. Whatever was acknowledged is in the ledger then.
  def under_load(instance)
    write(instance, "load begins #{SecureRandom.hex(4)}")
    name = SecureRandom.hex(4)
    client = "setpriv --reuid=vcap --regid=vcap --init-groups mariadb --no-defaults --user=vcap --socket=/var/vcap/sys/run/mariadb/mysqld.sock"
    script = "n=0; while #{client} --execute=\"INSERT INTO ledger.entries VALUES ('#{name} $n')\" 2>/dev/null; do echo $n; n=$((n+1)); done"
    writer = Thread.new { lab.exec(instance, 'bash', '-c', script, limit: 60).out }
    wait('the load to be under way') { value(instance, "SELECT COUNT(*) FROM ledger.entries WHERE note LIKE '#{name}%'").to_i > 20 }
    yield
    lab.exec(instance, 'pkill', '-f', name) if lab.vm(instance).up?
    acknowledged = writer.value.lines.map(&:chomp)
    ledger.concat(acknowledged.map { |n| "#{name} #{n}" })
    acknowledged.size
  end

  # Every mariadbd killed, every supervisor down and not restarted.
  def all_down
    lab.members.each { |i| lab.monit(i, 'unmonitor', 'mariadb') }
    kill_all
    wait('mariadbd to be gone everywhere') { lab.members.none? { |i| lab.mariadbd(i) } }
    wait('supervisors to be gone') { lab.members.none? { |i| supervisor(i) } }
  end

  def start_all(instances = lab.members) = instances.each { |i| lab.monit(i, 'start', 'mariadb') }

  # Whatever an example left behind, the next one begins with all members up.
  def put_right
    lab.heal
    lab.power_on(*lab.instances)
    lab.members.each { |i| lab.monit(i, 'start', 'galera-agent') }
    start_all
    wait_healthy(limit: 200)
  end

  # Members that wait say for whom and why.
  def wait_saying(instance, words, limit = 60)
    wait("#{instance} to say #{words.inspect} (#{supervisor(instance)&.fetch('detail', nil)})", limit) { supervisor(instance)&.fetch('detail', '')&.match?(words) }
  end

  # How many members the view has in which the member's supervisor saw it settled.
  def remembers_view_of(instance)
    view, caught_up = memory(instance).values_at('last_view', 'caught_up')
    view['members'].size if view && caught_up && caught_up['view'] == view.slice('representative', 'seq')
  end

  def lineage(instance) = memory(instance)['lineage'].map { |i| [i['by'], i['proof'][/\w+/]] }
  def data(instance, *file) = File.join('/var/vcap/store/mariadb/data', *file)
  def remove(instance, *files) = lab.exec(instance, 'rm', '-rf', *files.map { |f| data(instance, f) })

  # Everything that was ever acknowledged in this lab.
  def ledger = (LEDGERS[lab.name] ||= [])

  def expect_nothing_lost(instances = lab.members)
    # A client may be writing on.
    acknowledged = ledger.dup
    instances.each do |i|
      found = rows(i, 'SET SESSION wsrep_sync_wait=1; SELECT note FROM ledger.entries').flatten
      expect(acknowledged - found).to eq([]), "lost on #{i}"
    end
  end

  def keep_logs
    target = File.join(RELEASE_DIR, 'target', 'lab-logs', lab.name)
    lab.vms.each do |v|
      FileUtils.mkdir_p(File.join(target, v.name.tr('/', '-')))
      FileUtils.cp_r(Dir[v.vcap('sys', 'log', '*')], File.join(target, v.name.tr('/', '-')))
    end
    warn "logs of the failed lab: #{target}"
  end
end

RSpec.configure { |c| c.include ClusterSpec, type: :cluster }
