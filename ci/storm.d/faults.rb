# frozen_string_literal: true

require_relative 'disk'

module Storm
  # A request to the endpoints that Cloud Foundry's family has, from the member's own VM.
  def self.compatible(lab, name, route, method = 'POST')
    tls = '/var/vcap/jobs/galera-agent/config/tls'
    lab.exec(name, 'sh', '-c', <<~SH, limit: 90)
      config=/var/vcap/jobs/galera-agent/config/galera-agent.yml
      call() { curl --silent --max-time 60 -u "$(jq -r '.username + ":" + .password' $config)" -X #{method} "$@"; }
      if grep -q client_ca $config; then call --insecure --cert #{tls}/client.pem --key #{tls}/client.key https://127.0.0.1:9200/#{route}
      else call http://127.0.0.1:9200/#{route}; fi
    SH
  end

  # Breaks things on a lab, one item of a schedule at a time, and ends them. What cannot be done to a member as it is
  # then (its VM is off, its server does not run) is left out.
  class Faults
    SUPERVISORS = { 'mariadbd' => 'mariadb', 'galera-start' => 'mariadb', 'galera-agent' => 'galera-agent' }.freeze
    STORE = '/var/vcap/store/mariadb'
    CTL = '/var/vcap/packages/mariadb-galera/bin/galera-ctl'

    def initialize(lab, log)
      @lab, @log = lab, log
      @disks = Hash.new { |h, i| h[i] = Disk.new(lab, i) }
      lab.members.each_index { |i| @disks[i] }
      @power = Hash.new { |h, k| h[k] = Mutex.new }
    end

    # Whether a deployment was begun, and not finished.
    def half_deployed? = @deploys == true
    def deployed = @deploys = false

    # From its begin to its end.
    def carry_out(item)
      name = item.fault.tr('-', '_')
      respond_to?("during_#{name}", true) ? send("during_#{name}", item) { sleep item.for } : send(name, item)
    end

    # The end of all that may still be broken, whatever became of its own end: a person who mends what was broken, and
    # starts what was stopped.
    def end_all
      @lab.heal
      @disks.each_value(&:thaw)
      @lab.vms.each_with_index.map { |_, i| Thread.new { whole(i) } }.each(&:join)
      end_maintenance if maintained?
    end

    private

    def at(index) = @lab.members[index]
    def up?(index) = @lab.vm(at(index)).up?
    def each(item, &block) = item.on.map { |i| Thread.new { block.call(i) } }.each(&:join)
    def sh(index, script, limit: 60) = up?(index) ? @lab.exec(at(index), 'sh', '-c', script, limit: limit) : nil

    # Members only: @lab.vms has proxies and arbitrators too, which have no disk of their own.
    def whole(number)
      vm = @lab.vms[number]
      member = @lab.members.index(vm.name)
      member ? on(member) : vm.boot
      vm.exec('sh', '-c', 'pkill -CONT .; nft "add table inet storm; delete table inet storm"; tc qdisc del dev eth0 root 2>/dev/null; rm -f /var/vcap/store/storm-fills-it')
      if member && @disks[member].broken?
        off(member)
        on(member)
      end
      @lab.agent(vm.name).services.each { |s| @lab.monit(vm.name, 'start', s) }
    end

    # Of the cluster, and of each member.
    def end_maintenance
      [[], *@lab.members.map { |m| ['--member', m] }].each { |of| @lab.exec(0, CTL, 'maintenance', 'off', '--force', *of, limit: 40) }
    end

    def maintained? = @lab.vms.any? { |v| v.exec('sh', '-c', "cat #{STORE}/galera/maintenance.json 2>/dev/null").out.match?(/"(on|since|reason)"/) }

    # --- processes

    def kill(item) = each(item) { |i| sh(i, "pkill -KILL -x #{item.how}") }
    def terminate(item) = each(item) { |i| sh(i, "pkill -TERM -x #{item.how}") }

    def kill_both(item)
      names = item.how == 'all-three' ? 'mariadbd|galera-start|galera-agent' : item.how.tr('+', '|')
      each(item) { |i| sh(i, "pkill -KILL '^(#{names})$'") }
    end

    # It is given no more memory than it has and a little.
    def during_memory(item)
      limit = ->(script) { each(item) { |i| sh(i, "for p in $(pgrep -x mariadbd); do #{script}; done") } }
      limit.call("prlimit --pid $p --as=$(($(awk '/VmSize/ { print $2 }' /proc/$p/status) * 1024 + #{item.how} * 1024)):unlimited")
      yield
      limit.call('prlimit --pid $p --as=unlimited')
    end

    # The kernel has no page more for it, and kills it: a control group counts what it asks for from now on. A VM sees none.
    def during_out_of_memory(item)
      all, limit = Dir.exist?('/sys/fs/cgroup/memory') ? %w[/sys/fs/cgroup/memory limit_in_bytes] : %w[/sys/fs/cgroup max]
      groups = item.on.select { |i| up?(i) }.to_h { |i| ["#{all}/storm-#{@lab.name}-#{i}", @lab.vm(at(i)).processes('mariadbd')] }
      groups.each do |group, servers|
        FileUtils.mkdir_p(group)
        File.write("#{group}/memory.#{limit}", '1M')
        servers.each { |pid| File.write("#{group}/cgroup.procs", pid) rescue nil }
      end
      yield
      groups.each do |group, servers|
        @log.call("#{group}: #{servers.count { |pid| !Dir.exist?("/proc/#{pid}") }} of #{servers.size} were killed")
        File.readlines("#{group}/cgroup.procs").each { |pid| File.write("#{all}/cgroup.procs", pid) rescue nil }
        LabParts.wait("#{group} to be empty", 10) { Dir.rmdir(group) rescue nil }
      end
    end

    # Supervisor and mariadbd live at another time, until they are begun anew.
    def during_clock(item)
      index = item.on.first
      library = Dir['/usr/lib/*/faketime/libfaketime.so.1'].first or raise Lab::Failed, 'faketime is not installed'
      anew = ->(env) { sh(index, "pkill -TERM -x galera-start; for i in $(seq 300); do pgrep -x galera-start >/dev/null || break; sleep 0.1; done; #{env} /var/vcap/jobs/mariadb/bin/start") }
      anew.call("LD_PRELOAD=#{library} FAKETIME=#{item.how}")
      yield
      anew.call('')
    end

    def during_freeze(item)
      pattern = item.how == 'transfer' ? "-f '[w]srep_sst|[m]ariabackup|[m]bstream|[s]ocat.*4444'" : "-x #{item.how}"
      each(item) { |i| sh(i, "pkill -STOP #{pattern}") }
      yield
      each(item) { |i| sh(i, "pkill -CONT #{pattern}") }
    end

    # --- VMs

    def on(index) = @power[index].synchronize { @disks[index].mend; @lab.vm(at(index)).boot }
    def off(index) = @power[index].synchronize { @disks[index].thaw; @lab.vm(at(index)).power_off }

    def during_power(item)
      each(item) { |i| off(i) }
      yield
      each(item) { |i| on(i) }
    end

    def during_power_all(item)
      each(item) { |i| off(i) }
      yield
      return each(item) { |i| on(i) } if item.how == 'together'
      item.on.each { |i| on(i); sleep 2 }
    end

    # --- network. `group` is Galera's own port, `agents` that of the agents.

    PORTS = { 'all' => [nil], 'agents' => ['tcp dport 9200', 'tcp sport 9200'], 'group' => ['tcp dport 4567', 'tcp sport 4567'] }.freeze

    def deaf(index, to, how)
      rules = PORTS.fetch(how).map { |port| "add rule inet storm in ip saddr #{@lab.address(at(to))} #{port} drop" }
      sh(index, "nft '#{["add table inet storm; add chain inet storm in { type filter hook input priority 0; }", *rules].join('; ')}'")
    end

    # One fault's rules are not told from another's: the first that ends heals the member.
    def hear(index) = sh(index, 'nft "add table inet storm; delete table inet storm"')
    def all = @lab.members.each_index.to_a
    def deaf_both(one, other, how) = [deaf(one, other, how), deaf(other, one, how)]

    def during_isolate(item)
      (all - item.on).each { |other| deaf_both(item.on.first, other, 'all') }
      yield
      all.each { |i| hear(i) }
    end

    def during_one_way(item)
      deaf(*item.on, item.how)
      yield
      item.on.each { |i| hear(i) }
    end

    def during_link(item)
      deaf_both(*item.on, item.how)
      yield
      item.on.each { |i| hear(i) }
    end

    def during_halves(item)
      item.on.product(all - item.on).each { |a, b| deaf_both(a, b, item.how) }
      yield
      all.each { |i| hear(i) }
    end

    def during_lossy(item)
      item.on.each { |i| sh(i, "nft 'add table inet storm; add chain inet storm in { type filter hook input priority 0; }; " \
                               "add rule inet storm in ip saddr 10.77.0.0/24 numgen random mod 100 < #{item.how} drop'") }
      yield
      item.on.each { |i| hear(i) }
    end

    def during_slow(item)
      item.on.each { |i| sh(i, "tc qdisc replace dev eth0 root tbf rate #{item.how} burst 16kb latency 1s") }
      yield
      item.on.each { |i| sh(i, 'tc qdisc del dev eth0 root') }
    end

    # A part of its packets takes a narrow way, and comes after those that were sent later.
    def during_reorder(item)
      item.on.each do |i|
        sh(i, 'tc qdisc replace dev eth0 root handle 1: htb default 1 && tc class add dev eth0 parent 1: classid 1:1 htb rate 1gbit quantum 60000 && ' \
              'tc class add dev eth0 parent 1: classid 1:2 htb rate 2mbit && nft "add table inet storm; ' \
              'add chain inet storm out { type filter hook output priority 0; }; ' \
              "add rule inet storm out numgen random mod 100 < #{item.how} meta priority set 1:2\"")
      end
      yield
      item.on.each { |i| sh(i, 'tc qdisc del dev eth0 root'); hear(i) }
    end

    # --- disks

    def during_disk_full(item)
      each(item) { |i| sh(i, 'fallocate -l $(df -B1 --output=avail /var/vcap/store | tail -1) /var/vcap/store/storm-fills-it; cat /dev/zero >>/var/vcap/store/storm-fills-it 2>/dev/null') }
      yield
      each(item) { |i| sh(i, 'rm -f /var/vcap/store/storm-fills-it') }
    end

    # The kernel meets an error on it and makes it read-only; it is mended as one mends a disk: VM off, fsck, VM on.
    def during_disk_broken(item)
      each(item) { |i| @disks[i].break }
      yield
      each(item) { |i| off(i); on(i) }
    end

    def during_disk_hangs(item)
      each(item) { |i| @disks[i].freeze_for(item.for) if up?(i) }
      yield
      each(item) { |i| @disks[i].thaw }
    end

    # Four of five moments it takes no write.
    def disk_slow(item)
      index, ends = item.on.first, Time.now + item.for
      while up?(index) && Time.now < ends
        @disks[index].freeze_for(0.4)
        sleep 0.4
        @disks[index].thaw
        sleep 0.1
      end
    end

    def during_old_disk(item)
      index = item.on.first
      return unless up?(index)
      @disks[index].keep
      yield
      off(index)
      # What only this member has would be thrown away, and nobody promised to keep that.
      others_serve?(index) ? @disks[index].put_back(item.how) : @log.call("#{at(index)}: the old disk is not put back: no other member serves")
      on(index)
    end

    def during_new_disk(item)
      index = item.on.first
      off(index)
      yield
      return on(index) unless others_serve?(index) || @log.call("#{at(index)}: keeps its disk: no other member serves")
      @power[index].synchronize { @lab.recreate(at(index), lose_disk: true, await: false) }
    end

    def others_serve?(index)
      (all - [index]).any? do |i|
        up?(i) && @lab.sql(at(i), "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME IN ('wsrep_cluster_status', 'wsrep_local_state_comment') ORDER BY 1", limit: 5)
                          .out.split == %w[Primary Synced]
      end
    end

    # --- files

    def no_view(item)
      file = "#{STORE}/data/gvwstate.dat"
      each(item) { |i| sh(i, "pkill -KILL -x mariadbd; #{item.how == 'removed' ? "rm -f #{file}" : "truncate -s 0 #{file}"}") }
    end

    def no_memory(item)
      file = "#{STORE}/galera/memory.json"
      what = { 'torn' => "truncate -s $(($(stat -c %s #{file}) / 2)) #{file}", 'emptied' => "truncate -s 0 #{file}", 'removed' => "rm -f #{file}" }.fetch(item.how)
      each(item) { |i| sh(i, "pkill -KILL '^(mariadbd|galera-start)$'; #{what}") }
    end

    # --- people and machines that mean well

    def during_monit(item)
      index = item.on.first
      return unless up?(index)
      @lab.monit(at(index), item.how == 'unmonitor' ? 'unmonitor' : item.how, 'mariadb')
      sh(index, 'pkill -KILL -x mariadbd') if item.how == 'unmonitor'
      yield
      @lab.monit(at(index), 'start', 'mariadb') if up?(index)
    end

    def during_stop(item)
      name = at(item.on.first)
      @lab.stop(name, skip_drain: item.how == 'skip-drain')
      yield
      @lab.start(name, await: false)
    end

    def restart_all(item)
      parallel = item.how == 'parallel'
      return @lab.restart(nil, parallel: true, await: false) if parallel
      @lab.members.each { |name| @lab.stop(name); @lab.start(name, await: false) }
    end

    # What a deployment runs into stays half done; the operator deploys again once all is well (Run#redeploy).
    def deploy(item)
      @deploys = true
      @lab.deploy(force: true)
      @deploys = false
    end

    def scale(item)
      @deploys = true
      size = @lab.members.size
      nodes = item.how == 'out' ? size + 1 : size - 1
      @lab.deploy(nodes: nodes) if nodes.between?(2, 5)
      @lab.deploy(nodes: size)
      @deploys = false
    end

    def errand(item)
      from = item.how == 'one' ? item.on : all.take(2)
      from.map { |i| Thread.new { told(i, up?(i) && @lab.run_errand('bootstrap', instance: at(i)).values.first) } }.each(&:join)
    end

    # What an errand of Cloud Foundry's family calls, in its order: all are stopped, the furthest begins, the rest join.
    def during_compatible(item)
      index = item.on.first
      return compatible_errand if item.how == 'errand'
      told(index, api(index, item.how))
      yield
      told(index, api(index, 'start_mysql_join')) if item.how == 'stop_mysql'
    end

    def compatible_errand
      all.each { |i| told(i, api(i, 'stop_mysql')) }
      positions = all.to_h { |i| [i, api(i, 'sequence_number', 'GET')&.out.to_i] }
      first = positions.max_by(&:last).first
      told(first, api(first, 'start_mysql_bootstrap'))
      (all - [first]).each { |i| told(i, api(i, 'start_mysql_join')) }
    end

    def api(index, route, method = 'POST') = up?(index) ? Storm.compatible(@lab, at(index), route, method) : nil

    def during_maintenance(item)
      index = item.on.first
      words = item.how == 'member' ? ['--member', at(index)] : []
      told(index, up?(index) && @lab.exec(at(index), CTL, 'maintenance', 'on', '--reason', 'storm', '--for', '1m', *words))
      yield
      told(index, up?(index) && @lab.exec(at(index), CTL, 'maintenance', 'off', '--force', *words))
    end

    # --- SQL

    def ddl(item)
      statement = { 'create' => "CREATE TABLE IF NOT EXISTS storm.made_#{item.at.to_i} (a INT PRIMARY KEY) AS SELECT n AS a FROM storm.entries GROUP BY n",
                    'alter' => "ALTER TABLE storm.bulk ADD COLUMN IF NOT EXISTS c#{item.at.to_i} INT DEFAULT 7, ADD INDEX IF NOT EXISTS (v)",
                    'drop' => 'DROP TABLE IF EXISTS storm.made_1, storm.made_2, storm.made_3' }.fetch(item.how)
      told(item.on.first, sql(item.on.first, statement))
    end

    def big(item)
      statement = { 'insert' => "INSERT INTO storm.bulk (v) SELECT CONCAT('v', seq) FROM storm.seq_1_to_20000", 'update' => "UPDATE storm.bulk SET v = CONCAT(v, '+')",
                    'delete' => 'DELETE FROM storm.bulk WHERE id % 2 = 0' }.fetch(item.how)
      told(item.on.first, sql(item.on.first, statement))
    end

    def sql(index, statement) = up?(index) ? @lab.sql(at(index), statement, limit: 60) : nil
    def told(index, result) = @log.call("#{at(index)}: #{result ? "#{result.status}: #{result.to_s.split.join(' ')[0, 300]}" : 'its VM is off'}")
  end
end
