# frozen_string_literal: true

module Storm
  # What must be so once all faults are ended.
  class Judge
    # A VM's own processes, the lab's, and this release's.
    EXPECTED = %w[init.sh sleep monit galera-start galera-agent galera-proxy galera-arbitrat haproxy garbd mariadbd timeout ps].freeze

    attr_reader :faults

    def initialize(lab, clients) = (@lab, @clients, @faults = lab, clients, [])

    def healthy?
      size = (deployed.size + @lab.having('arbitrator').size).to_s
      deployed.any? && deployed.all? { |m| status(m) == ['Primary', size, 'Synced'] }
    end

    # A deployment that broke off may have made a VM, and nothing on it.
    def deployed = @lab.members.select { |m| Dir.exist?(@lab.vm(m).vcap('jobs')) && @lab.agent(m).jobs.include?('mariadb') }

    # What Galera says of a member: component, its size, state.
    def status(member)
      return [] unless @lab.vm(member).up?
      names = %w[cluster_status cluster_size local_state_comment].map { |n| "'wsrep_#{n}'" }.join(', ')
      @lab.sql(member, "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME IN (#{names}) ORDER BY VARIABLE_NAME = 'wsrep_local_state_comment', VARIABLE_NAME DESC", limit: 6).out.split
    end

    # Everything that can be compared once the clients have stopped. What a person gave up by name may be missing.
    def compare(given_up:)
      lost = lost_everywhere
      @lost = lost.size
      wrong("#{lost.size} acknowledged writes are not on every member, and nobody gave anything up: #{lost.first(10).join(', ')}") if lost.any? && !given_up
      differences
      sums
      @clients.ledger.violations.first(5).each { |v| wrong("reader: #{v}") } unless given_up
      leftovers
      self
    end

    def lost = @lost || 0

    private

    def wrong(what) = @faults << what

    def rows(member, statement)
      result = @lab.sql(member, "SET SESSION wsrep_sync_wait = 1; #{statement}", limit: 60)
      return wrong("#{member}: #{statement}: #{result}") && [] unless result.ok?
      result.out.lines.map { |l| l.chomp.split("\t") }
    end

    # Of members that answer; one that does not is told anyway.
    def lost_everywhere
      answering = @lab.members.select { |m| @lab.sql(m, 'SELECT 1 FROM storm.entries LIMIT 1').ok? }
      missing = answering.map do |member|
        entries = rows(member, 'SELECT writer, n FROM storm.entries').to_h { |w, n| ["#{w} #{n}", true] }
        transfers = rows(member, 'SELECT id FROM storm.transfers').to_h { |id,| [id, true] }
        @clients.ledger.entries.map { |e| "#{e.writer} #{e.number}" }.reject { |e| entries[e] } + @clients.ledger.transfers.reject { |t| transfers[t] }
      end
      missing.reduce([], :|)
    end

    # All members have the same tables with the same rows.
    def differences
      tables = rows(@lab.members.first, "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'storm' ORDER BY 1").flatten
      sums = @lab.members.to_h do |member|
        shape = rows(member, "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'storm' ORDER BY 1, 2") +
                rows(member, "SELECT TABLE_NAME, INDEX_NAME, COLUMN_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = 'storm' ORDER BY 1, 2, 3")
        [member, shape + rows(member, "CHECKSUM TABLE #{tables.map { |t| "storm.#{t}" }.join(', ')} EXTENDED")]
      end
      return if sums.values.uniq.size == 1
      first, *others = sums.to_a
      others.each { |name, sum| wrong("#{name} differs from #{first.first}: #{((sum - first.last) | (first.last - sum)).first(6)}") if sum != first.last }
    end

    # No transfer makes or takes money, and each account has what its transfers say.
    def sums
      statement = "SELECT a.id FROM storm.accounts a WHERE a.balance <> #{Clients::EACH} - (SELECT COALESCE(SUM(amount), 0) FROM storm.transfers WHERE giver = a.id) + (SELECT COALESCE(SUM(amount), 0) FROM storm.transfers WHERE taker = a.id)"
      @lab.members.each do |member|
        odd = rows(member, statement).flatten
        wrong("#{member}: accounts #{odd.join(', ')} do not have what their transfers say") if odd.any?
      end
    end

    # No process of a transfer that has ended; what follows Synced (an upgrade, the diagnosis) may take its time.
    def leftovers
      seen = {}
      LabParts.wait('nothing else to run', 30, pause: 1) do
        seen = @lab.vms.to_h { |vm| [vm.name, vm.exec('ps', '-eo', 'comm=').out.split("\n").map(&:strip) - EXPECTED] }.reject { |_, names| names.empty? }
        seen.empty?
      end
    rescue Lab::Failed
      wrong("still runs: #{seen.map { |name, names| "#{names.join(', ')} on #{name}" }.join('; ')}")
    end
  end
end
