# frozen_string_literal: true

require 'fileutils'
require 'open3'
require_relative 'network'

module LabParts
  Result = Struct.new(:out, :err, :status) do
    def ok? = status.zero?
    def to_s = out + err

    # What is told, however it was wrapped for a terminal.
    def words = out.split.join(' ')
  end

  # One VM: namespaces for network, mounts, processes and host name, and a /var/vcap of its own.
  class Vm
    PATH = '/usr/sbin:/usr/bin:/sbin:/bin'

    attr_reader :instance, :root

    def initialize(instance, dir, network)
      @instance, @network = instance, network
      @root = File.join(dir, 'vm', instance['name'].tr('/', '-'))
    end

    def name = instance['name']
    def vcap(*parts) = File.join(root, 'vcap', *parts)

    def boot
      return if up?
      make_directories
      make_disk if instance['disk'] && !File.exist?(disk)
      @network.plug(instance['number'])
      @network.carrier(instance['number'], true)
      command = ['ip', 'netns', 'exec', @network.namespace(instance['number']), 'unshare', '--pid', '--fork', '--mount', '--uts',
                 '--ipc', '--mount-proc', '--kill-child', File.join(__dir__, 'init.sh'), root, name.tr('/', '-')]
      outer = Process.spawn({ 'PATH' => PATH }, *command, in: :close, %i[out err] => [File.join(root, 'init.log'), 'a'], pgroup: true, unsetenv_others: true)
      Process.detach(outer)
      pid = LabParts.wait("#{name} to boot", 15) { File.read("/proc/#{outer}/task/#{outer}/children").split.first rescue nil }
      File.write(File.join(root, 'init.pid'), "#{pid} #{started(pid)}")
      LabParts.wait("#{name} to boot", 15) { up? && test('-e', '/var/vcap/sys/run/.booted') }
    end

    # Everything in the VM dies at once; its disk stays, without what was not written to it. A folder keeps that.
    def power_off
      @network.carrier(instance['number'], false) if @network.exist?(@network.switch)
      pid = init or return
      begin
        lose_what_is_not_on_disk(pid) if File.exist?(disk)
      ensure
        Process.kill('KILL', pid.to_i)
      end
      LabParts.wait("#{name} to be off", 15) { !up? }
      # Whoever mounts it before that gets the dead file system again.
      LabParts.wait("the disk of #{name} to be free", 15) { !File.exist?(disk) || Open3.capture2e('losetup', '-j', disk).first.empty? }
    end

    def up? = !init.nil?

    # In the VM, as root, with BOSH's PATH. Bounded.
    def exec(*command, env: {}, limit: 120, chdir: '/var/vcap/bosh', stdin: '')
      # setsid: a signal for the group of the caller is not meant for the VM's processes.
      entered = entering('timeout', '-k', '5', limit.to_s, *command, chdir: chdir)
      out, err, status = Open3.capture3({ 'PATH' => PATH, 'HOME' => '/root', 'LANG' => 'C' }.merge(env), *entered, stdin_data: stdin, unsetenv_others: true)
      Result.new(out, err, status.exitstatus || (128 + status.termsig))
    end

    # A path of the VM, as this machine reaches it: what is only looked at needs no process in there. No link on the way may
    # be absolute.
    def path(inside)
      pid = init or raise Failed, "#{name} is off"
      File.join("/proc/#{pid}/root", inside)
    end

    # Replaces this process by the command, with its terminal.
    def become(*command)
      Kernel.exec({ 'PATH' => PATH, 'HOME' => '/root', 'TERM' => ENV.fetch('TERM', 'dumb') }, *entering(*command), unsetenv_others: true)
    end

    # The command by which this machine runs that one in the VM.
    def entering(*command, chdir: '/var/vcap/bosh')
      pid = init or raise Failed, "#{name} is off"
      ['nsenter', '-t', pid, '-m', '-u', '-i', '-n', '-p', "--wdns=#{chdir}", *command]
    end

    def init
      pid, start = File.read(File.join(root, 'init.pid')).split
      pid if start && started(pid) == start
    rescue SystemCallError
      nil
    end

    # All that runs in it, by the numbers of this machine; those of one program only, if that is given.
    def processes(program = nil)
      inside = File.readlink("/proc/#{init}/ns/pid")
      here = Dir.children('/proc').grep(/\A\d+\z/).select { |p| File.readlink("/proc/#{p}/ns/pid") == inside rescue false }
      program ? here.select { |p| File.read("/proc/#{p}/comm").chomp == program rescue false } : here
    end

    # The VM is deleted; its persistent disk stays.
    def remove
      power_off
      FileUtils.rm_rf([vcap('jobs'), vcap('data'), vcap('monit'), vcap('applied'), vcap('sys/run')])
    end

    # The image of the persistent disk, where it is not a folder.
    def disk = File.join(root, 'disk.img')

    # What is on it, and not the mount point.
    def remove_disk
      FileUtils.rm_f(disk)
      FileUtils.rm_rf(Dir.glob(vcap('store', '*'), File::FNM_DOTMATCH).reject { |f| f.end_with?('/.', '/..') })
    end

    private

    # EXT4_IOC_SHUTDOWN, and its flag by which neither files nor journal are written.
    SHUT_DOWN, AT_ONCE = 0x8004587D, 2

    # All stand still meanwhile: nobody may act on what a dead disk says.
    def lose_what_is_not_on_disk(pid)
      # Whom this machine runs in there is waited for by somebody who would stand still with it for ever.
      all = processes
      all.each { |process| Process.kill('STOP', process.to_i) if all.include?(parent(process)) rescue nil }
      File.open("/proc/#{pid}/root/var/vcap/store") { |store| store.ioctl(SHUT_DOWN, [AT_ONCE].pack('I')) }
    rescue Errno::EIO
      # The kernel gave this file system up before, and writes nothing of it any more.
    end

    def parent(pid) = File.read("/proc/#{pid}/stat").rpartition(')').last.split[1]

    def test(*condition) = exec('test', *condition, chdir: '/').ok?

    # A number may be used again; the number and the start time together are not. A zombie is dead.
    def started(pid)
      fields = File.read("/proc/#{pid}/stat").rpartition(')').last.split
      fields[19] unless fields[0] == 'Z'
    rescue SystemCallError
      nil
    end

    # As large as is said, and only what is written takes room. No blocks are kept back for root.
    def make_disk
      File.open(disk, 'w') { |f| f.truncate(Integer(instance['disk']) << 20) }
      LabParts.run!('mkfs.ext4', '-q', '-m', '0', '-F', disk)
    end

    def make_directories
      %w[bosh store monit/job sys/run sys/log data/sys data/jobs jobs packages instance].each { |d| FileUtils.mkdir_p(vcap(d)) }
      { 'id' => instance['id'], 'az' => instance['az'], 'name' => instance['group'], 'deployment' => instance['deployment'] }
        .each { |file, text| File.write(vcap('instance', file), text.to_s) }
    end
  end

  # Looks until the block gives something; what it waits for is in the error.
  def self.wait(what, limit, pause: 0.05)
    now = -> { Process.clock_gettime(Process::CLOCK_MONOTONIC) }
    deadline = now.call + limit
    loop do
      begun = now.call
      found = yield and return found
      raise Failed, "waited #{limit} s for #{what}" if now.call > deadline
      # Where a look takes long, others wait for the processor too; not where it does more than look.
      sleep [pause, [3 * (now.call - begun), 1].min].max
    end
  end
end
