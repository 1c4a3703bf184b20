# frozen_string_literal: true

require 'fileutils'
require 'json'
require 'securerandom'
require_relative 'agent'
require_relative 'network'
require_relative 'packages'
require_relative 'vm'

# A lab: VMs of this machine, and what director and agents do with them. `ci/lab` is its command line,
# and specs use it directly.
class Lab
  RELEASE = ENV.fetch('LAB_RELEASE', File.expand_path('../..', __dir__))
  HOME = ENV.fetch('LAB_HOME', '/var/tmp/mariadb-galera-lab')
  Failed = LabParts::Failed
  CLIENTS = 200
  CLIENT = %w[setpriv --reuid=vcap --regid=vcap --init-groups mariadb --no-defaults --user=vcap --socket=/var/vcap/sys/run/mariadb/mysqld.sock
              --connect-timeout=5 --batch --skip-column-names].freeze

  attr_reader :name, :dir

  def initialize(name = ENV.fetch('LAB', 'lab'))
    raise Failed, "lab name #{name.inspect}: use up to 8 small letters, digits and -" unless name.match?(/\A[a-z0-9-]{1,8}\z/)
    @name, @dir, @network = name, File.join(HOME, name), LabParts::Network.new(name)
  end

  def self.all = Dir.glob('*', base: HOME).map { |n| new(n) }

  # --- director: deployments -------------------------------------------------------------------------

  def up(nodes: nil, manifest: nil, ops: [], properties: {}, disk: nil, deploy: true)
    raise Failed, "lab #{name} is there already; `down` removes it" if File.exist?(state_file)
    FileUtils.mkdir_p(dir)
    save('nodes' => nodes, 'manifest' => manifest, 'ops' => ops, 'properties' => properties, 'disk' => disk, 'instances' => [])
    deploy(start: deploy)
  end

  # An update in BOSH's order. Only what changed is touched.
  def deploy(start: true, force: false, **changes)
    save(state.merge(changes.transform_keys(&:to_s)))
    require_relative 'director'
    director = LabParts::Director.new(self, state)
    kept = director.instances.map { |i| i['name'] }
    director.retire(vms.reject { |v| kept.include?(v.name) }, becomes: :scale_in)
    save(state.merge('instances' => director.instances))
    install_packages
    director.deploy(start: start, force: force)
  end

  def start(only = nil, **options) = director.start(picked(only), **options)
  def stop(only = nil, **options) = director.stop(picked(only), **options)

  # `await: false`: the start is not waited for.
  def restart(only = nil, await: true, **options)
    stop(only, **options)
    start(only, await: await, **options)
  end

  # What `up` and `deploy` were given beside the manifest.
  def properties = state['properties']

  # `bosh delete-deployment`: all drains at once. The lab itself stays until `down`.
  def delete = director.retire(vms, becomes: :delete)

  def drain(instance) = agent(instance).drain

  # On every instance that has the job, at once and without arguments, as BOSH does. name => Result
  def run_errand(job, instance: nil)
    on = instance ? [vm(instance)] : vms
    on = on.select { |v| v.up? && LabParts::Agent.new(v).jobs.include?(job) }
    raise Failed, "no instance that is up has a job #{job}" if on.empty?
    on.map { |v| [v.name, Thread.new { LabParts::Agent.new(v).errand(job) }] }.to_h { |n, t| [n, t.value] }
  end

  # Removes everything that is left of this lab, also of one that was killed.
  def down
    state_vms = File.exist?(state_file) ? vms : []
    state_vms.each { |v| v.power_off rescue nil }
    kill_leftovers
    @network.remove
    FileUtils.rm_rf(dir)
    Dir.rmdir(HOME) if Dir.exist?(HOME) && Dir.empty?(HOME)
  end

  # --- IaaS: VMs and network -------------------------------------------------------------------------

  def power_off(*instances) = instances.map { |i| Thread.new { vm(i).power_off } }.each(&:join)
  def power_on(*instances) = instances.map { |i| Thread.new { vm(i).boot } }.each(&:join)

  # A VM recreated as the resurrector does it: no pre-stop, no drain. `bosh recreate` drains first.
  def recreate(instance, lose_disk: false, drain: false, await: true)
    director.take_down(vm(instance), becomes: :recreate) if drain
    vm(instance).remove
    vm(instance).remove_disk if lose_disk
    vm(instance).boot
    director.bring_up(vm(instance), await: await)
  end

  def cut(*instances)
    instances.each { |i| vms.reject { |v| v.name == vm(i).name }.each { |other| cut_link(i, other.name) } }
  end

  def cut_link(one, other, one_way: false)
    @network.drop(from: number(one), at: number(other))
    @network.drop(from: number(other), at: number(one)) unless one_way
  end

  # A firewall before one port; `heal` takes it away.
  def close_port(instance, port) = @network.close(port, at: number(instance))

  # The network namespace of clients, which are on no VM: they outlive whatever is done to those.
  def clients
    @network.plug(CLIENTS)
    @network.namespace(CLIENTS)
  end

  def heal = vms.each { |v| @network.heal(v.instance['number']) }

  # --- VMs -------------------------------------------------------------------------------------------

  def instances = state['instances'].map { |i| i['name'] }

  # Those that are members of the cluster; a deployment may have proxies and the like on VMs of their own.
  def members = having('mariadb')
  def having(job) = state['instances'].select { |i| i['jobs'].include?(job) }.map { |i| i['name'] }

  def vms = state['instances'].map { |i| LabParts::Vm.new(i, dir, @network) }

  def vm(instance)
    found = state['instances'].find { |i| [i['name'], i['index'].to_s].include?(instance.to_s) }
    raise Failed, "no instance #{instance}; there are #{instances.join(', ')}" unless found
    LabParts::Vm.new(found, dir, @network)
  end

  def agent(instance) = LabParts::Agent.new(vm(instance))
  def address(instance) = @network.address(number(instance))
  def exec(instance, *command, **options) = vm(instance).exec(*command, **options)
  def monit(instance, *words) = agent(instance).monit(*words)

  # As the local administrator over the socket; rows with tabs between the columns.
  def sql(instance, statement, limit: 30) = vm(instance).exec(*CLIENT, "--execute=#{statement}", limit: limit)

  # The command of the same client, for who talks to it for longer.
  def client(instance, *options) = vm(instance).entering(*CLIENT, *options)

  # The mariadbd that serves, not one that only recovers its position.
  def mariadbd(instance)
    serving = vm(instance).exec('pgrep', '-a', '-x', 'mariadbd').out.lines.find { |l| !l.include?('--wsrep-recover') }
    serving&.to_i
  end

  def kill(instance, signal = 'KILL')
    pid = mariadbd(instance) or raise Failed, "no mariadbd runs on #{vm(instance).name}"
    vm(instance).exec('kill', "-#{signal}", pid.to_s)
  end

  def status
    vms.map do |v|
      next [v.name, @network.address(v.instance['number']), 'off', '-', '-', '-'] unless v.up?
      words = LabParts::Agent.new(v).words.map { |s, w| "#{s}: #{w}" }.join(', ')
      health = health(v)
      [v.name, @network.address(v.instance['number']), 'up', words, mariadbd(v.name) || '-', health[/\A[\w -]+/] || '-']
    end
  end

  # What the agent says of its member, over HTTPS where it wants that.
  def health(vm)
    tls = '/var/vcap/jobs/galera-agent/config/tls'
    curl = 'curl --silent --max-time 3'
    plain = "#{curl} http://127.0.0.1:9200/"
    encrypted = "#{curl} --insecure --cert #{tls}/client.pem --key #{tls}/client.key https://127.0.0.1:9200/"
    vm.exec('sh', '-c', "if grep -q 'client_ca' #{tls}/../galera-agent.yml; then #{encrypted}; else #{plain}; fi").out
  end

  # Only one command changes a lab at a time.
  def alone
    FileUtils.mkdir_p(HOME)
    File.open(File.join(HOME, ".#{name}.lock"), File::CREAT | File::RDWR) do |lock|
      raise Failed, "another command is changing lab #{name}" unless lock.flock(File::LOCK_EX | File::LOCK_NB)
      yield
    ensure
      File.unlink(lock.path) if File.exist?(lock.path)
    end
  end

  private

  def state_file = File.join(dir, 'state.json')
  def state = JSON.parse(File.read(state_file))
  def number(instance) = vm(instance).instance['number']
  def picked(only) = only ? [vm(only)] : vms

  def director
    require_relative 'director'
    LabParts::Director.new(self, state)
  end

  def save(tree)
    File.write("#{state_file}.new", JSON.pretty_generate(tree))
    File.rename("#{state_file}.new", state_file)
  rescue Errno::ENOENT
    raise Failed, "there is no lab #{name}; `ci/lab up` makes it"
  end

  def install_packages
    packages.install
    vms.each { |v| FileUtils.mkdir_p(v.vcap) ; link_packages(v) }
  end

  def packages = LabParts::Packages.new(File.join(dir, 'packages'))

  def link_packages(vm)
    FileUtils.mkdir_p(vm.vcap('packages'))
    packages.names.each do |p|
      link = vm.vcap("packages", p)
      File.symlink(File.join(dir, "packages", p), link) unless File.symlink?(link)
    end
  end

  # Processes of a lab whose state is lost: whatever has its init script's arguments.
  def kill_leftovers
    Dir['/proc/[0-9]*/cmdline'].each do |file|
      words = File.read(file).split("\0") rescue next
      Process.kill('KILL', file[/\d+/].to_i) if words.include?(File.join(__dir__, 'init.sh')) && words.any? { |w| w.start_with?("#{dir}/") }
    rescue Errno::ESRCH
      next
    end
  end
end
