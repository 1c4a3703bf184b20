# frozen_string_literal: true

require_relative '../lab.d/lab'
require_relative 'options'
require_relative 'schedule'
require_relative 'clients'
require_relative 'faults'
require_relative 'person'
require_relative 'judge'
require_relative 'results'

module Storm
  # One seed: a cluster that is well, clients on it, a schedule of faults, the end of all faults, and a judgement.
  class Run
    # What a fault may take beyond its own time: a drain, a stop, an errand; and a deployment of all, one after the other.
    FAULT_LIMIT = 150
    DEPLOY_LIMIT = 600

    attr_reader :seed, :schedule, :wrong

    def initialize(lab, seed, schedule, options, within:, person: true, out: $stdout)
      @lab, @seed, @schedule, @options, @within, @may_ask, @out = lab, seed, schedule, options, within, person, out
      @wrong, @said, @begun = [], [], Time.now
      # It may end before there is anything to judge.
      @clients, @judge, @person = Clients.new(lab, "s#{seed}"), nil, Person.new(lab, method(:say))
    end

    def failed? = @wrong.any?

    def go
      await_health('a cluster to begin with', 90)
      Clients.prepare(@lab)
      @lineage = lineage
      @clients.start
      sleep 1
      storm
      @judge = Judge.new(@lab, @clients)
      peace
      redeploy if @wrong.empty? && @faults.half_deployed?
      verdict if @wrong.empty?
      service if @wrong.empty?
      @clients.stop
      @wrong.concat(@judge.compare(given_up: @person.given_up.any?).faults) if @seconds
      @wrong.concat(@person.refused)
      self
    rescue Lab::Failed, SystemCallError => e
      @wrong << "the storm itself: #{e.message}"
      self
    ensure
      @clients.stop
      record
      keep if failed?
    end

    def say(what)
      @said << format('%s %6.1f s  %s', Time.now.utc.strftime('%T.%L'), Time.now - @begun, what)
      @out.puts("    #{@said.last}") if ENV['STORM_VERBOSE']
    end

    # Where the evidence of a failed seed is.
    def folder = @folder ||= File.join(Lab::RELEASE, 'target', 'storm', "#{@seed}-#{Time.now.utc.strftime('%Y%m%dT%H%M%S')}")

    private

    def await_health(what, limit)
      judge = Judge.new(@lab, nil)
      LabParts.wait(what, limit, pause: 0.5) { judge.healthy? }
    end

    def storm
      @faults, from = Faults.new(@lab, method(:say)), now
      threads = @schedule.items.map do |item|
        Thread.new do
          sleep [item.at - (now - from), 0].max
          say("begin #{item}")
          @faults.carry_out(item)
          say("end   #{item.fault} on #{item.on.join(',')}")
        rescue Lab::Failed, SystemCallError => e
          say("left  #{item.fault} on #{item.on.join(',')}: #{e.message.split("\n").join(' ')[0, 400]}")
        end
      end
      ends = now + @schedule.items.map(&:ends).max
      threads.zip(@schedule.items).each do |thread, item|
        limit = %w[deploy scale].include?(item.fault) ? DEPLOY_LIMIT : FAULT_LIMIT
        next if thread.join([ends + limit - now, 0.1].max)
        thread.kill
        @wrong << "#{item.fault} on #{item.on.join(',')} did not end within #{limit} s"
      end
      @primary = @lab.members.any? { |m| Judge.new(@lab, nil).status(m).first == 'Primary' }
      @faults.end_all
      say('all faults are ended')
    end

    # Until all are Synced. A person who acts begins the time anew.
    def peace
      @peace = Time.now
      from = now
      until @judge.healthy?
        if now - from > @within
          @wrong << "not all Synced #{@within} s after #{@person.done.last || 'all faults were ended'}: #{page}"
          return
        end
        from = now if @may_ask && @person.step
        # The members do not agree on who they are until the deployment is done.
        if @faults.half_deployed? && @person.look&.fetch('code') == 'MembershipConfigMismatch'
          redeploy(must: false)
          from = now
        end
        sleep 0.3
      end
      @seconds = (Time.now - @peace).round(1)
      say("all Synced #{@seconds} s after the end of all faults")
    end

    # As an operator does whose deployment had run into a fault.
    def redeploy(must: true)
      say('deploys again')
      @lab.deploy(nodes: @options.members, force: true)
      @faults.deployed
      await_health('all to be Synced after the deployment', @within)
    rescue Lab::Failed => e
      # One that nobody is primary of may need a person first, and is deployed again after that.
      must ? @wrong << "a healthy cluster is not deployed: #{e.message}" : say("the deployment is not done yet: #{e.message.lines.first}")
    end

    # The page must agree, a little later.
    def verdict
      LabParts.wait('the diagnosis to be Healthy', 30, pause: 1) { @person.look&.fetch('code') == 'Healthy' }
    rescue Lab::Failed
      @wrong << "all are Synced, and the page does not say so: #{page}"
    end

    def page
      seen = @person.look or return 'no page'
      "#{seen['code']}: #{seen['sentence']}; run: #{seen.dig('advice', 'run')}; by itself: #{seen.dig('advice', 'by_itself')}; " +
        seen['members'].map { |m| "#{m['name']} #{m['code']} (#{m['sentence']})" }.join(', ')
    end

    # Every client is served again.
    def service
      LabParts.wait('writes on every member to be acknowledged', 20, pause: 0.3) { @clients.served?(@peace + (@seconds || 0)) }
    rescue Lab::Failed => e
      @wrong << "#{e.message} (#{@clients.ledger.gone})"
    end

    # Of the member that knows most; proofs of all incarnations.
    def lineage
      @lab.members.map do |m|
        JSON.parse(@lab.exec(m, 'cat', "#{Faults::STORE}/galera/memory.json").out).dig('content', 'lineage').map { |i| [i['by'], i['proof'].to_s[/\w+/]] }
      rescue JSON::ParserError, NoMethodError
        []
      end.max_by(&:size)
    end

    def recovery
      return "a person: #{@person.done.map { |d| d[%r{rejoin|--node|errand|monit|start_mysql_join}] }.uniq.join(', ').sub('--node', 'forced bootstrap')}" if @person.done.any?
      return 'never' unless @seconds
      grown = lineage.drop(@lineage.size).map(&:last)
      return "begun: #{grown.map { |p| p || 'by hand' }.uniq.join(', ')}" if grown.any?
      return 'nothing to recover' if @seconds < 0.5
      @primary ? 'members joined a primary' : 'saved view, or Galera itself'
    end

    def record
      Results.add('seed' => @seed, 'at' => @begun.utc.strftime('%FT%TZ'), 'options' => @options.to_s, 'faults' => @schedule.items.map(&:fault),
                  'acknowledged' => ledger.entries.size, 'transfers' => ledger.transfers.size, 'reads' => ledger.reads, 'lost' => @judge&.lost || 0,
                  'gap' => ledger.longest_gap.round(1), 'seconds' => @seconds, 'recovery' => recovery, 'person' => @person.done,
                  'given_up' => @person.given_up, 'wrong' => @wrong)
    end

    def ledger = @clients.ledger

    public

    def to_s
      return "seed #{@seed}: FAILED\n  #{@wrong.join("\n  ")}\n  #{@options}\n#{@schedule.to_s.gsub(/^/, '    ')}\n  evidence: #{folder}" if failed?
      "seed #{@seed}: ok, #{@schedule.items.size} faults, #{ledger.entries.size + ledger.transfers.size} writes, #{recovery} in #{@seconds} s" \
        "#{", lost by a person's word: #{@judge.lost}" if @judge.lost.positive?} (#{(Time.now - @begun).round} s in all)"
    end

    private

    # Logs, the page, and a report with its timeline.
    def keep
      FileUtils.mkdir_p(folder)
      File.write(File.join(folder, 'schedule.json'), @schedule.dump)
      File.write(File.join(folder, 'storm.log'), [@options.to_s, *@schedule.items, *@said, *@wrong, *ledger.violations].join("\n"))
      @lab.vms.each do |vm|
        place = File.join(folder, vm.name.tr('/', '-'))
        FileUtils.mkdir_p(place)
        FileUtils.cp_r(Dir[vm.vcap('sys', 'log', '*')], place)
        next unless vm.up?
        { 'diagnose' => "#{Faults::CTL} diagnose", 'processes' => 'ps axfo pid,ppid,stat,etime,wchan:20,args', 'sockets' => 'ss -tanp',
          'galera' => "cd #{Faults::STORE}; ls -la . data galera; cat data/grastate.dat data/gvwstate.dat galera/memory.json", 'journal' => "cat #{Faults::STORE}/galera/journal.jsonl" }
          .each { |name, command| File.write(File.join(place, "#{name}.txt"), vm.exec('sh', '-c', command, limit: 40).to_s) }
      end
      report
    rescue Lab::Failed, SystemCallError => e
      @wrong << "the evidence is not complete: #{e.message}"
    end

    def report
      first = @lab.members.find { |m| @lab.vm(m).up? } or return
      @lab.exec(first, 'sh', '-c', "#{Faults::CTL} report --last 10m --directory /var/vcap/sys/log/storm-report", limit: 90)
      FileUtils.cp_r(@lab.vm(first).vcap('sys', 'log', 'storm-report'), folder) if Dir.exist?(@lab.vm(first).vcap('sys', 'log', 'storm-report'))
    end

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end
