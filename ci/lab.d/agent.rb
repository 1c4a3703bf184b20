# frozen_string_literal: true

require 'digest'
require 'etc'
require_relative 'vm'

module LabParts
  # What bosh-agent does on a VM: applies jobs, runs hooks, and talks to monit.
  #
  # The lab has Debian's monit 5.33 in place of the stemcells' 5.2.5. What differs, and what is done about it, is in
  # `stop`: after `unmonitor`, 5.33 does not run the stop program of a service; and in `quiet`.
  class Agent
    MONIT = ['monit', '-c', '/var/vcap/monit/monitrc'].freeze
    QUIET = '/var/vcap/monit/quiet'
    SCRIPTS_WITHOUT_LIMIT = 1800

    def initialize(vm) = @vm = vm

    # New jobs: rendered files under data/jobs/NAME/HASH, a link to them, and no monit files until `start`.
    def apply(rendered)
      gid = Etc.getgrnam('vcap').gid
      current = rendered.map do |job, files|
        hash = digest(files)
        target = @vm.vcap('data', 'jobs', job, hash)
        install(target, files, gid) unless Dir.exist?(target)
        File.unlink(@vm.vcap('jobs', job)) if File.symlink?(@vm.vcap('jobs', job))
        File.symlink("/var/vcap/data/jobs/#{job}/#{hash}", @vm.vcap('jobs', job))
        %w[sys/log sys/run].each { |d| @vm.exec('install', '-d', '-m', '0770', '-o', 'root', '-g', 'vcap', "/var/vcap/#{d}/#{job}") }
        job
      end
      Dir.children(@vm.vcap('jobs')).reject { |j| current.include?(j) }.each { |j| File.unlink(@vm.vcap('jobs', j)) }
      FileUtils.rm_f(Dir[@vm.vcap('monit', 'job', '*')])
      File.write(@vm.vcap('applied'), digest(rendered))
      restart_monit
    end

    def applied?(rendered) = File.exist?(@vm.vcap('applied')) && File.read(@vm.vcap('applied')) == digest(rendered)
    def jobs = Dir.children(@vm.vcap('jobs')).sort

    # All jobs' scripts of a kind run at the same time, and all are awaited.
    def run_script(kind, env: {})
      results = jobs.select { |j| script?(j, kind) }.map { |j| [j, Thread.new { hook(j, kind, env) }] }.map { |j, t| [j, t.value] }
      failed = results.reject { |_, r| r.ok? }
      raise Failed, "#{@vm.name}: #{kind} of #{failed.map(&:first).join(', ')} failed:\n#{failed.map { |_, r| r }.join}" if failed.any?
    end

    # Unmonitors, then runs all drain scripts at the same time. stdout must be exactly one integer; the exit
    # status is ignored beside one. A negative integer asks to be called again.
    def drain(parameter: 'job_shutdown')
      unmonitor
      jobs.select { |j| script?(j, 'drain') }.map { |j| Thread.new { drain_job(j, parameter) } }.map(&:value).join
    end

    def unmonitor = services.each { |s| monit('unmonitor', s) }

    # Writes monit files, kills and restarts monit, and starts every service, as the agent does. So a start
    # program may run twice: once by monit's own first cycle, once by this.
    def start
      quiet
      jobs.each_with_index do |job, at|
        text = File.read(@vm.vcap('data', 'jobs', job, File.basename(File.readlink(@vm.vcap('jobs', job))), 'monit'))
        text = text.gsub(/^(\s*(?:start|stop) program )"/, %(\\1"#{QUIET} ))
        File.write(@vm.vcap('monit', 'job', format('%04d_%s.monitrc', at, job)), text) unless text.strip.empty?
      end
      restart_monit
      services.each { |s| monit('start', s) }
    end

    def wait_running(limit: 180)
      LabParts.wait("#{@vm.name}: all processes running (#{words})", limit, pause: 0.2) { running? }
    end

    def running? = (w = words).size == services.size && w.values.all? { |v| v == 'running' }

    # `monit stop`, and the stop program of each service, which 5.33 leaves out after `unmonitor`.
    def stop
      names = services
      names.each { |s| monit('stop', s) }
      failed = names.map { |s| [s, Thread.new { @vm.exec(stop_program(s), limit: 300) }] }.map { |s, t| [s, t.value] }.reject { |_, r| r.ok? }
      raise Failed, "#{@vm.name}: stop of #{failed.map { |s, r| "#{s} (#{r.to_s.strip})" }.join(', ')}" if failed.any?
    end

    def monit(*words, limit: 30) = @vm.exec(*MONIT, *words, limit: limit)

    # What monit says, in the agent's words.
    def words
      monit('-B', 'summary').out.lines.filter_map do |line|
        name, *said, kind = line.split(/\s{2,}/).map(&:strip).reject(&:empty?)
        [name, said.join(' ') == 'OK' ? 'running' : said.join(' ').downcase] if kind == 'Process'
      end.to_h
    end

    def services = Dir[@vm.vcap('monit', 'job', '*.monitrc')].sort.flat_map { |f| File.read(f).scan(/^check process (\S+)/).flatten }

    def errand(job, *arguments) = @vm.exec("/var/vcap/jobs/#{job}/bin/run", *arguments, limit: SCRIPTS_WITHOUT_LIMIT)

    def script?(job, kind) = @vm.exec('test', '-f', "/var/vcap/jobs/#{job}/bin/#{kind}").ok?

    private

    def hook(job, kind, env)
      result = @vm.exec("/var/vcap/jobs/#{job}/bin/#{kind}", env: env, limit: SCRIPTS_WITHOUT_LIMIT)
      { 'stdout' => result.out, 'stderr' => result.err }.each do |stream, text|
        File.open(@vm.vcap('sys', 'log', job, "#{kind}.#{stream}.log"), 'a', 0o640) { |f| f.write(text) }
      end
      result
    end

    def drain_job(job, parameter)
      env = { 'BOSH_JOB_STATE' => '{"persistent_disk":1024}', 'BOSH_JOB_NEXT_STATE' => '{"persistent_disk":1024}' }
      arguments = [parameter, parameter == 'job_shutdown' ? 'hash_unchanged' : 'hash_changed']
      loop do
        result = @vm.exec("/var/vcap/jobs/#{job}/bin/drain", *arguments, env: env, limit: SCRIPTS_WITHOUT_LIMIT)
        unless result.out.strip.match?(/\A[+-]?\d+\z/)
          raise Failed, "#{@vm.name}: drain of #{job} failed: stdout is not one integer: #{result.out.strip.inspect} (exit #{result.status})\n#{result.err}"
        end
        seconds = result.out.to_i
        sleep seconds.abs
        return result.out unless seconds.negative?
        arguments, env = %w[job_check_status hash_unchanged], env.slice('BOSH_JOB_STATE')
      end
    end

    def stop_program(service)
      text = Dir[@vm.vcap('monit', 'job', '*.monitrc')].map { |f| File.read(f) }.find { |t| t.match?(/^check process #{service}$/) }
      text[/stop program "#{QUIET} ([^"]+)"/, 1]
    end

    # 5.2.5 gives its programs /dev/null; 5.33 would keep what they say.
    def quiet
      File.write(@vm.vcap('monit', 'quiet'), "#!/bin/sh\nexec \"$@\" </dev/null >/dev/null 2>&1\n")
      File.chmod(0o755, @vm.vcap('monit', 'quiet'))
    end

    def restart_monit
      File.write(@vm.vcap('monit', 'monitrc'), monitrc, perm: 0o600)
      File.chmod(0o600, @vm.vcap('monit', 'monitrc'))
      @vm.exec('pkill', '-KILL', '-x', 'monit')
      LabParts.wait("#{@vm.name}: the old monit to be gone", 5) { !@vm.exec('pgrep', '-x', 'monit').ok? }
      # At the priority that it has on a stemcell.
      started = @vm.exec('nice', '-n', '-10', *MONIT)
      raise Failed, "#{@vm.name}: monit does not start: #{started}" unless started.ok?
      LabParts.wait("#{@vm.name}: monit to answer", 10) { monit('-B', 'summary').ok? }
    end

    # A stemcell has `set daemon 10`; the lab is faster, so that tests are.
    def monitrc
      <<~MONITRC
        set daemon #{ENV.fetch('LAB_MONIT_CYCLE', '2')}
        set log /var/vcap/monit/monit.log
        set pidfile /var/vcap/monit/monit.pid
        set idfile /var/vcap/monit/monit.id
        set statefile /var/vcap/monit/monit.state
        set httpd port 2822 and use address 127.0.0.1
          allow localhost
        include /var/vcap/monit/job/*.monitrc
      MONITRC
    end

    def install(target, files, gid)
      files.each do |path, text|
        file = File.join(target, path)
        FileUtils.mkdir_p(File.dirname(file))
        File.write(file, text)
        File.chmod(path.start_with?('bin/') ? 0o750 : 0o640, file)
        File.chown(0, gid, file)
      end
      Dir[target, File.join(target, '**/')].each { |d| File.chmod(0o750, d); File.chown(0, gid, d) }
      [@vm.vcap('data', 'jobs'), File.dirname(target)].each { |d| File.chmod(0o755, d) }
    end

    def digest(tree) = Digest::SHA256.hexdigest(JSON.dump(tree))[0, 16]
  end
end
