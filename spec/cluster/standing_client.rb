# frozen_string_literal: true

require 'open3'

module ClusterSpec
  # A client of one member's socket that stays, for what is looked at again and again: starting one takes more of the
  # processors than all else of a look.
  class StandingClient
    LIMIT = 10

    def initialize(lab, instance)
      @lab, @instance, @turn = lab, instance, Mutex.new
    end

    # The answer's lines; none where there is no answer. A server that was begun anew since the last question is asked by
    # another client.
    def ask(statement)
      @turn.synchronize do
        stood = !@client.nil?
        answer(statement) || (stood && answer(statement)) || []
      end
    end

    def hang_up
      client, @client = @client, nil
      return unless client
      Process.kill('KILL', client.pid) rescue nil
      [@input, @output].each { |io| io.close rescue nil }
      client.join
      nil
    end

    private

    def answer(statement)
      connect unless @client
      @input.puts("#{statement}; SELECT 'answered';")
      lines, deadline = [], now + LIMIT
      while (line = next_line(deadline))
        return lines if line == 'answered'
        lines << line
      end
      hang_up
    rescue SystemCallError, IOError
      hang_up
    end

    def next_line(deadline) = @output.wait_readable([deadline - now, 0.01].max) && @output.gets&.chomp
    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

    def connect
      @input, @output, @client = Open3.popen2(*@lab.client(@instance, '--unbuffered', '--skip-reconnect'), err: File::NULL)
    end
  end
end
