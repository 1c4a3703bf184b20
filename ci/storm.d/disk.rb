# frozen_string_literal: true

require 'open3'

module Storm
  # The persistent disk of a member, an image on this machine: it breaks, hangs, and is put back as it was.
  class Disk
    def initialize(lab, index)
      @lab, @name = lab, lab.members[index]
    end

    # As the kernel does when it meets an error: read-only until it was checked.
    def break
      device = device() or return
      File.write("/sys/fs/ext4/#{device}/trigger_fs_error", 'storm')
      @broken = true
    end

    def broken? = @broken

    # Only while the VM is off.
    def mend
      return unless @broken && !vm.up?
      Open3.capture2e('e2fsck', '-f', '-y', vm.disk)
      @broken = false
    end

    # A frozen file system takes no write and no kill; whatever becomes of this process, it thaws.
    def freeze_for(seconds)
      thaw
      asleep, @awake = IO.pipe
      script = "trap 'fsfreeze -u /var/vcap/store' EXIT; fsfreeze -f /var/vcap/store && cat"
      @guard = Process.spawn('nsenter', '-t', vm.init, '-m', 'timeout', '-s', 'INT', (seconds + 30).to_s, 'bash', '-c', script, in: asleep, %i[out err] => File::NULL, pgroup: true)
      asleep.close
    end

    def thaw
      guard, @guard = @guard, nil
      return unless guard
      @awake.close
      Process.wait(guard)
    end

    # As a snapshot of a volume is: of one moment, without asking who writes.
    def keep
      script = "fsfreeze -f /var/vcap/store; cp --sparse=always #{vm.disk} #{kept}; fsfreeze -u /var/vcap/store"
      Open3.capture2e('nsenter', '-t', vm.init, '-m', 'bash', '-c', script)
    end

    # All of the disk, or only the data directory. Only while the VM is off.
    def put_back(how)
      return unless File.exist?(kept)
      Open3.capture2e('e2fsck', '-f', '-y', kept)
      return File.rename(kept, vm.disk) if how == 'disk'
      script = "d=$(mktemp -d); mkdir $d/old $d/new; mount -o loop #{kept} $d/old; mount -o loop #{vm.disk} $d/new; " \
               'rm -rf $d/new/mariadb/data; cp -a $d/old/mariadb/data $d/new/mariadb/; umount $d/old $d/new; rm -rf $d'
      output, status = Open3.capture2e('unshare', '--mount', '--propagation', 'private', 'bash', '-ec', script)
      raise Lab::Failed, "the data directory is not put back: #{output}" unless status.success?
    end

    private

    def vm = @lab.vm(@name)
    def kept = "#{vm.disk}.kept"
    def device = Open3.capture2e('losetup', '-j', vm.disk).first[%r{/dev/(loop\d+)}, 1]
  end
end
