# frozen_string_literal: true

require 'open3'

module LabParts
  # Runs a command to its end; its failure is an error with what it said.
  def self.run!(*command, **options)
    output, status = Open3.capture2e(*command, **options)
    raise Failed, "#{command.join(' ')}: #{output.strip}" unless status.success?
    output
  end

  class Failed < StandardError; end

  # The lab's network: one namespace a VM, and one more that holds the bridge between them, so that
  # the machine's own network is not touched and labs with the same addresses run side by side.
  class Network
    PREFIX = '10.77.0.'
    FIRST = 11
    # VMs boot at the same time, and the first one finds no switch.
    BUILDING = Mutex.new

    def initialize(lab) = @lab = lab

    def namespace(number) = "mg-#{@lab}-#{number}"
    def switch = "mg-#{@lab}-sw"
    def address(number) = "#{PREFIX}#{FIRST + number}"

    def exist?(name) = File.exist?("/run/netns/#{name}")

    def plug(number)
      BUILDING.synchronize { build_switch unless exist?(switch) }
      return if exist?(namespace(number))
      LabParts.run!('ip', 'netns', 'add', namespace(number))
      # Both ends are made inside their namespaces: no name of theirs is ever seen outside.
      LabParts.run!('ip', '-n', switch, 'link', 'add', "port#{number}", 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace(number))
      LabParts.run!('ip', '-n', switch, 'link', 'set', "port#{number}", 'master', 'br0', 'up')
      LabParts.run!('ip', '-n', namespace(number), 'addr', 'add', "#{address(number)}/24", 'dev', 'eth0')
      LabParts.run!('ip', '-n', namespace(number), 'link', 'set', 'lo', 'up')
      LabParts.run!('ip', '-n', namespace(number), 'link', 'set', 'eth0', 'up')
    end

    # A VM that is off answers nothing, not even "refused".
    def carrier(number, on) = LabParts.run!('ip', '-n', switch, 'link', 'set', "port#{number}", on ? 'up' : 'down')

    # Packets from `from` are dropped where they arrive.
    def drop(from:, at:) = drop_where("ip saddr #{address(from)}", at)
    def close(port, at:) = drop_where("tcp dport #{port}", at)

    def heal(number)
      LabParts.run!('ip', 'netns', 'exec', namespace(number), 'nft', 'add table inet cut; delete table inet cut') if exist?(namespace(number))
    end

    def remove
      Dir.children('/run/netns').grep(/\Amg-#{Regexp.escape(@lab)}-(\d+|sw)\z/).each { |n| LabParts.run!('ip', 'netns', 'del', n) } if Dir.exist?('/run/netns')
    end

    private

    def drop_where(what, at)
      table = 'add table inet cut; add chain inet cut in { type filter hook input priority 0; policy accept; }'
      LabParts.run!('ip', 'netns', 'exec', namespace(at), 'nft', "#{table}; add rule inet cut in #{what} drop")
    end

    def build_switch
      LabParts.run!('ip', 'netns', 'add', switch)
      LabParts.run!('ip', '-n', switch, 'link', 'add', 'br0', 'type', 'bridge')
      LabParts.run!('ip', '-n', switch, 'link', 'set', 'br0', 'up')
    end
  end
end
