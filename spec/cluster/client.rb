# frozen_string_literal: true

require 'open3'
require 'securerandom'
require_relative 'support'

module ClusterSpec
  # The longest that a client may wait where a member takes over: its proxy notices, and it connects again.
  TAKE_OVER = 12
  LOADED = { 'mariadb.seeded_databases' => ['ledger'],
             'mariadb.seeded_users' => { 'client' => { 'role' => 'schema', 'databases' => ['ledger'], 'password' => 'secret' } } }.freeze

  # A lab with a proxy, through which one client writes all the while.
  def self.with_lab_under_load(context, name, **options)
    with_lab(context, name, properties: LOADED, **options)
    context.before(:context) do
      rows(0, Client::OWN_TABLE)
      @client = Client.new(lab, 'proxy/0', user: 'client', password: 'secret', ledger: ledger).start
    end
    context.after(:context) { @client&.stop }
    context.attr_reader :client
  end

  # What the client met while the block ran; and nothing that it was told is lost.
  def under_load_of_client(what, &block)
    figures = client.during(what, &block)
    RSpec.configuration.reporter.message("    #{figures}")
    wait_healthy
    expect_nothing_lost
    figures
  end

  # A client that writes one row after the other through a proxy (or a member), connects again whenever it is cut,
  # and keeps the books: what was acknowledged, when, and by which member.
  #
  #   client = ClusterSpec::Client.new(lab, 'proxy/0', user: 'client', password: 'secret', ledger: ledger)
  #   client.start
  #   figures = client.during('a deploy') { lab.deploy(...) }    # figures.longest, .errors, .acknowledged
  #   client.stop
  #
  # What was acknowledged is in the ledger, which `expect_nothing_lost` compares with every member. What was not
  # may be there or not: its client was never told.
  class Client
    Acknowledged = Struct.new(:at, :by)
    Figures = Struct.new(:what, :acknowledged, :longest, :errors, :members) do
      def to_s
        format('%<what>s: %<acks>d writes acknowledged, longest interruption %<longest>.2f s, %<errors>d errors%<kinds>s, served by %<members>s',
               what: what, acks: acknowledged, longest: longest, errors: errors.size, members: members.join(', then '),
               kinds: errors.empty? ? '' : " (#{errors.tally.map { |why, n| "#{n} x #{why}" }.join('; ')})")
      end
    end

    # A write that takes longer is given up, and its connection with it.
    PATIENCE = 20
    # Between two writes: an interruption shows as well, and the processors are left to what is looked at.
    PACE = 0.01
    OWN_TABLE = 'CREATE TABLE IF NOT EXISTS ledger.entries (note VARCHAR(80) PRIMARY KEY)'

    def initialize(lab, through, user:, password:, ledger:, port: 3306)
      @lab, @through, @port, @user, @password, @ledger = lab, through, port, user, password, ledger
      @id, @number, @acknowledged, @errors = SecureRandom.hex(4), 0, [], []
      @options = File.join(lab.dir, "client-#{@id}.cnf")
    end

    def start
      File.write(@options, "[client]\nhost=#{@lab.address(@through)}\nport=#{@port}\nuser=#{@user}\npassword=#{@password}\n", perm: 0o600)
      @thread = Thread.new { write_one until @stopping }
      wait_served
      self
    end

    def stop
      @stopping = true
      @thread&.join
      hang_up
      self
    end

    # The member that acknowledged the last write.
    def served_by = @acknowledged.last&.by

    # How it went from before the block until writes are acknowledged again after it.
    def during(what)
      errors, from = @errors.size, @acknowledged.size - 1
      yield
      wait_served
      seen = @acknowledged[from..]
      gaps = seen.each_cons(2).map { |a, b| b.at - a.at }
      Figures.new(what, seen.size - 1, gaps.max, @errors[errors..], seen.map(&:by).chunk_while { |a, b| a == b }.map(&:first))
    end

    # Until a few writes more are acknowledged.
    def wait_served(limit = 60)
      from = @acknowledged.size
      LabParts.wait("writes through #{@through} to be acknowledged (#{@errors.last})", limit) { @acknowledged.size > from + 3 }
    end

    private

    def write_one
      connect unless @connection
      note = "#{@id} #{@number += 1}"
      @input.puts("INSERT INTO ledger.entries VALUES ('#{note}'); SELECT '#{note}', @@wsrep_node_name;")
      raise IOError, "no answer within #{PATIENCE} s" unless @output.wait_readable(PATIENCE)
      said, by = @output.gets&.chomp&.split("\t")
      raise IOError, 'the connection ended' unless said == note
      @ledger << note
      @acknowledged << Acknowledged.new(now, by)
      sleep PACE
    rescue IOError, SystemCallError => e
      @errors << reason(e)
      hang_up
      sleep 0.05
    end

    def connect
      @input, @output, @complaint, @connection =
        Open3.popen3('ip', 'netns', 'exec', @lab.clients, 'mariadb', "--defaults-file=#{@options}", '--batch', '--skip-column-names', '--unbuffered',
                     '--skip-reconnect', '--connect-timeout=10')
    end

    # In the server's words, where it had any.
    def reason(error)
      Process.kill('KILL', @connection.pid) rescue nil
      said = @complaint.read[/ERROR (\d+)/] rescue nil
      said || error.message[/\A[^(]+/].strip
    end

    def hang_up
      return unless @connection
      Process.kill('KILL', @connection.pid) rescue nil
      [@input, @output, @complaint].each { |io| io.close rescue nil }
      @connection.join
      @connection = nil
    end

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end
