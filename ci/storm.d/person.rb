# frozen_string_literal: true

require 'json'

module Storm
  # Somebody who looks at the page and carries out the command that it gives, to the letter, and nothing else.
  class Person
    FORCED = %r{/var/vcap/jobs/bootstrap/bin/run --node ([\w/-]+)((?: --new-history| --accept-(?:missing|alive) [\w/-]+)*)}
    REJOIN = %w[AheadOfCluster OtherHistory Inconsistent UnknownPosition TableMissing].freeze
    # Looks, and seconds between them, that must agree before a person acts.
    PATIENCE, PAUSE = 4, 4
    # Whoever has done this much has done what the pages say, and it did not help.
    ENOUGH = 4
    # The errand's exit code for it.
    REFUSED = 3

    attr_reader :done, :given_up, :refused

    def initialize(lab, log, patience: PATIENCE, pause: PAUSE)
      @lab, @log, @patience, @pause = lab, log, patience, pause
      @done, @given_up, @refused, @looks = [], [], [], []
    end

    def look
      vm = @lab.members.find { |m| @lab.vm(m).up? } or return nil
      result = @lab.exec(vm, Faults::CTL, 'diagnose', '--json', limit: 40)
      JSON.parse(result.out)['diagnosis']
    rescue JSON::ParserError
      @log.call("diagnose on #{vm}: #{result.status}: #{result}"[0, 400])
      nil
    end

    # One look; acts where the last few agree that a person is waited for. True where something was done.
    def step
      return false if @done.size >= ENOUGH || (@last && now - @last < @pause)
      @last = now
      seen = look
      @looks = (@looks + [seen && command(seen)]).last(@patience)
      return false unless @looks.size == @patience && @looks.uniq.size == 1 && @looks.first
      @looks = []
      carry_out(*command(seen))
      true
    end

    private

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

    # What the page tells a person to do: a word for it, and its arguments; nil for "wait".
    def command(seen)
      run = seen.dig('advice', 'run').to_s
      # The first that is tried, and tried once: where it does not help, the page says what else there is.
      idle = [run, *seen['members'].map { |m| m['sentence'] }].filter_map { |told| told[%r{on (\w[\w-]*/\d+),?(?: .*)?: `monit start mariadb`}, 1] }.first
      return [:start, idle] if idle && @done.none? { |what| what.end_with?("mariadb on #{idle}") }
      if seen['class'].start_with?('down')
        return [:forced, *Regexp.last_match.captures] if seen['class'] == 'down_needs_person' && run =~ FORCED
        return [:errand] if run.include?('bosh run-errand bootstrap')
      end
      member = seen['members'].find { |m| REJOIN.include?(m['code']) }
      return [:rejoin, member['name'], member['sentence'].match?(/voted (this member|it) out/)] if member && seen['class'] == 'degraded'
      held = seen['members'].find { |m| m['sentence'].include?('/start_mysql_join starts it') }
      return [:join, held['name']] if held && seen['members'].any? { |m| m['code'] == 'MemberOk' }
      stopped = seen['members'].find { |m| "#{m['sentence']} #{run}".match?(/#{m['name']}.*`monit start mariadb`|nothing runs/) && m['code'] == 'MemberDown' }
      [:start, stopped['name']] if stopped
    end

    def carry_out(what, *arguments)
      case what
      when :forced then forced(*arguments)
      when :errand then errand
      when :rejoin then give_up(*arguments)
      when :join then say("/start_mysql_join on #{arguments.first}", Storm.compatible(@lab, arguments.first, 'start_mysql_join'))
      when :start then say("monit start mariadb on #{arguments.first}", @lab.monit(arguments.first, 'start', 'mariadb'))
      end
    end

    def forced(node, accepted)
      words = accepted.split
      @given_up.concat(words.reject { |w| w.start_with?('--') })
      result = @lab.exec(node, '/var/vcap/jobs/bootstrap/bin/run', '--node', node, *words, limit: 300)
      say("bin/run --node #{node}#{accepted}", result)
      refuses("bin/run --node #{node}#{accepted}", result) if refuses?(result)
    end

    def errand
      results = @lab.run_errand('bootstrap')
      say('bosh run-errand bootstrap', results.values.map(&:to_s).join)
      refuses('bosh run-errand bootstrap', results.values.first) if results.values.all? { |r| refuses?(r) }
    end

    # A command that a page gives, and that is then refused, is a fault of the page. Whoever was voted out may have the only
    # copy of what was acknowledged, as the page says: where the others' disks were full, say. Of anybody else that gives its
    # data up nothing may be missing, unless a recovery was forced before.
    def give_up(member, voted_out)
      result = @lab.exec(member, Faults::CTL, 'rejoin', '--abandon-data', limit: 90)
      # Another one has begun to get its copy since the page was looked at.
      return @log.call("#{member}: #{result.words}") if result.words.include?('run this again once one is')
      say("galera-ctl rejoin --abandon-data on #{member}", result)
      @given_up << member if voted_out && result.ok?
      return if result.ok?
      refuses("#{member}: galera-ctl rejoin --abandon-data", result)
      say("monit restart mariadb on #{member}", @lab.monit(member, 'restart', 'mariadb'))
    end

    # Members may have come back by themselves between the look and the command.
    def refuses?(result) = result.status == REFUSED && !result.words.include?('a primary component exists')
    def refuses(what, result) = @refused << "#{what} was refused: #{result.words[/Refused.*/]}#{result.err}"

    def say(what, result)
      @done << what
      @log.call("a person runs: #{what}\n#{result.to_s.gsub(/^/, '    ')}")
    end
  end
end
