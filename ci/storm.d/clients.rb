# frozen_string_literal: true

require 'open3'

module Storm
  # One connection from outside all VMs; an answer, or `Gone`. What was not answered may have happened or not.
  class Session
    class Gone < StandardError; end
    PATIENCE = 8

    def initialize(lab, address)
      @file = File.join(lab.dir, "storm-#{address}.cnf")
      File.write(@file, "[client]\nhost=#{address}\nport=3306\nuser=storm\npassword=#{PASSWORD}\n", perm: 0o600) unless File.exist?(@file)
      @input, @output, @complaint, @process =
        Open3.popen3('ip', 'netns', 'exec', lab.clients, 'mariadb', "--defaults-file=#{@file}", '--batch', '--skip-column-names', '--unbuffered',
                     '--skip-reconnect', '--connect-timeout=4')
      @number = 0
    end

    # Rows of all statements, once the last one was carried out.
    def ask(statements)
      token = "answer-#{@number += 1}"
      @input.puts("#{statements}; SELECT '#{token}';")
      rows, deadline = [], now + PATIENCE
      loop do
        raise Gone, 'no answer in time' unless @output.wait_readable([deadline - now, 0.01].max)
        line = @output.gets or raise Gone, reason
        return rows if line.chomp == token
        rows << line.chomp.split("\t")
      end
    rescue SystemCallError, IOError => e
      raise Gone, e.message
    end

    def close
      Process.kill('KILL', @process.pid) rescue nil
      [@input, @output, @complaint].each { |io| io.close rescue nil }
      @process.join
    end

    private

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    def reason = @complaint.wait_readable(1) && @complaint.read[/ERROR (\d+)/] || 'the connection ended'
  end

  # What was acknowledged, and what was read.
  class Ledger
    Entry = Struct.new(:writer, :number, :at)
    attr_reader :entries, :transfers, :violations, :gone, :newest
    attr_accessor :reads

    def initialize
      @entries, @transfers, @violations, @gone, @newest, @reads = [], [], [], Hash.new(0), {}, 0
    end

    def wrote(writer, number)
      @entries << Entry.new(writer, number, Time.now)
      @newest[writer] = number
    end

    # The longest time in which nobody's write was acknowledged.
    def longest_gap = @entries.map(&:at).sort.each_cons(2).map { |a, b| b - a }.max || 0.0
  end

  # Clients on every member (and through every proxy): one that writes, one that reads.
  class Clients
    ACCOUNTS = 40
    EACH = 1000

    attr_reader :ledger

    def initialize(lab, name)
      @lab, @name, @ledger, @threads = lab, name, Ledger.new, []
    end

    def self.prepare(lab)
      statements = ['DROP DATABASE IF EXISTS storm', 'CREATE DATABASE IF NOT EXISTS storm',
                    'CREATE TABLE storm.entries (writer VARCHAR(24), n INT, PRIMARY KEY (writer, n))',
                    'CREATE TABLE storm.accounts (id INT PRIMARY KEY, balance INT)',
                    'CREATE TABLE storm.transfers (id VARCHAR(32) PRIMARY KEY, giver INT, taker INT, amount INT)',
                    'CREATE TABLE storm.bulk (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(64))',
                    "INSERT INTO storm.accounts VALUES #{(0...ACCOUNTS).map { |i| "(#{i}, #{EACH})" }.join(', ')}"]
      result = lab.sql(lab.members.first, statements.join('; '))
      raise Lab::Failed, "the tables cannot be made: #{result}" unless result.ok?
      # Others apply that later than the one that was asked.
      lab.members.each { |m| lab.sql(m, 'SET SESSION wsrep_sync_wait = 1; SELECT COUNT(*) FROM storm.accounts') }
    end

    def start
      @lab.clients
      served = @lab.members + @lab.having('proxy')
      # Asked now: a deployment may take an instance away for a while.
      @addresses = served.to_h { |at| [at, @lab.address(at)] }
      @threads = served.flat_map do |at|
        [client { writer(at) }] + (@lab.members.include?(at) ? [false, true].map { |causal| client { reader(at, causal) } } : [])
      end
    end

    def stop
      @stopping = true
      @threads.each(&:join)
    end

    # Everybody's writes are acknowledged again.
    def served?(since) = @lab.members.all? { |at| @ledger.entries.reverse_each.take_while { |e| e.at > since }.any? { |e| e.writer == writer_name(at) } }

    private

    def writer_name(at) = "#{@name}-#{at}"

    # Connects again for as long as the storm goes on.
    def client
      Thread.new do
        until @stopping
          begin
            yield
          rescue Session::Gone => e
            @ledger.gone[e.message] += 1
            sleep 0.2
          end
        end
      end
    end

    def with_session(at)
      session = Session.new(@lab, @addresses.fetch(at))
      yield session until @stopping
    ensure
      session&.close
    end

    def writer(at)
      @numbers ||= Hash.new(0)
      with_session(at) do |session|
        number = @numbers[at] += 1
        number % 4 == 0 ? transfer(session, at, number) : write(session, at, number)
        sleep 0.02
      end
    end

    def write(session, at, number)
      session.ask("INSERT INTO storm.entries VALUES ('#{writer_name(at)}', #{number})")
      @ledger.wrote(writer_name(at), number)
    end

    def transfer(session, at, number)
      id, amount = "#{writer_name(at)}-#{number}", 1 + rand(9)
      giver, taker = (0...ACCOUNTS).to_a.sample(2)
      session.ask("START TRANSACTION; UPDATE storm.accounts SET balance = balance - #{amount} WHERE id = #{giver}; " \
                  "UPDATE storm.accounts SET balance = balance + #{amount} WHERE id = #{taker}; " \
                  "INSERT INTO storm.transfers VALUES ('#{id}', #{giver}, #{taker}, #{amount}); COMMIT")
      @ledger.transfers << id
    end

    # What was read once on a connection is read there ever after; a causal read finds all that was acknowledged before. A
    # member that lost power may be behind what it had shown: a commit is seen a moment before it is on disk.
    def reader(at, causal)
      seen = Hash.new(0)
      with_session(at) do |session|
        known = causal ? @ledger.newest.dup : {}
        rows = session.ask("SET SESSION wsrep_sync_wait = #{causal ? 1 : 0}; SELECT writer, MAX(n) FROM storm.entries GROUP BY writer; SELECT 'sum', SUM(balance) FROM storm.accounts").to_h
        sum = rows.delete('sum').to_i
        violation('sum', at, "#{sum} instead of #{ACCOUNTS * EACH}") if sum != ACCOUNTS * EACH
        found = rows.transform_values(&:to_i)
        seen.merge(known) { |_, a, b| [a, b].max }.each do |writer, number|
          violation(causal ? 'causal' : 'monotonic', at, "#{writer} #{found[writer].inspect} after #{number}") if (found[writer] || 0) < number
        end
        seen.merge!(found)
        @ledger.reads += 1
        sleep 0.2
      end
    end

    def violation(kind, at, what) = @ledger.violations << "#{Time.now.utc.strftime('%T.%L')} #{kind} read on #{at}: #{what}"
  end
end
