# frozen_string_literal: true

require 'json'

module Storm
  # What breaks, when, and for how long: drawn from a seed, and always the same for it.
  class Schedule
    # fault: what; at: seconds after the begin; for: how long it lasts; on: numbers of members; the rest is the fault's own.
    Item = Struct.new(:at, :fault, :on, :for, :how, keyword_init: true) do
      def to_s
        format('%5.1f s  %-10s on %-9s%s%s', at, fault, on.join(','), how ? " #{how}" : '', self.for&.positive? ? " for #{self.for} s" : '')
      end

      def ends = at + (self.for || 0)
    end

    # fault => [weight, what it does it to, how it may do it, for how many seconds]. `few` is mostly one.
    KINDS = {
      'kill' => [14, :few, %w[mariadbd mariadbd galera-start galera-agent], 0],
      'terminate' => [4, :few, %w[mariadbd galera-start galera-agent], 0],
      'kill-both' => [4, :few, %w[mariadbd+galera-start mariadbd+galera-agent all-three], 0],
      'freeze' => [8, :one, %w[mariadbd mariadbd galera-start galera-agent transfer], 2..12],
      'power' => [9, :few, nil, 1..10],
      'power-all' => [4, :all, %w[together staggered], 1..5],
      'isolate' => [8, :one, nil, 2..14],
      'one-way' => [6, :pair, %w[all agents group], 2..14],
      'link' => [5, :pair, %w[all agents group], 2..14],
      'halves' => [5, :half, %w[all agents group], 3..14],
      'lossy' => [5, :one, %w[10 30], 3..12],
      'slow' => [4, :one, %w[300kbit 2mbit], 3..12],
      'reorder' => [4, :one, %w[20 50], 3..12],
      'disk-full' => [4, :one, nil, 3..10],
      'disk-broken' => [3, :one, nil, 1..5],
      'disk-hangs' => [3, :one, nil, 2..10],
      'disk-slow' => [3, :one, nil, 3..12],
      'memory' => [3, :one, %w[4096 65536], 2..8],
      'clock' => [3, :one, %w[+40d -40d +3s -70s], 2..8],
      'no-view' => [5, :few, %w[removed emptied], 0],
      'no-memory' => [4, :one, %w[torn emptied removed], 0],
      'old-disk' => [3, :one, %w[disk data], 2..8],
      'new-disk' => [3, :one, nil, 1..4],
      'monit' => [6, :one, %w[stop restart unmonitor], 1..8],
      'stop' => [5, :one, %w[drain drain skip-drain], 1..6],
      'restart-all' => [2, :all, %w[serial parallel], 0],
      'deploy' => [2, :all, nil, 0],
      'scale' => [2, :all, %w[out in], 0],
      'errand' => [4, :one, %w[one two], 0],
      'compatible' => [5, :one, %w[stop_mysql start_mysql_join start_mysql_bootstrap start_mysql_single_node errand], 1..4],
      'maintenance' => [2, :one, %w[cluster member], 2..6],
      'ddl' => [6, :one, %w[create alter drop], 0],
      'big' => [5, :one, %w[insert update delete], 0],
      'out-of-memory' => [4, :few, nil, 2..6]
    }.freeze
    # From which seed on it is drawn: a seed stays the schedule that it was when it found something.
    SINCE = { 'out-of-memory' => 3000 }.freeze
    # What must not overlap on one member: each takes its disk or its VM away.
    WHOLE = %w[power power-all disk-full disk-broken disk-hangs disk-slow old-disk new-disk clock stop restart-all deploy scale].freeze
    # What takes data away for good; two of them could take all copies of it.
    ONCE = %w[old-disk new-disk].freeze
    AT_A_TIME = 3

    attr_reader :items

    def initialize(items) = @items = items.sort_by(&:at)

    def self.draw(seed, options)
      random = Random.new(seed)
      kinds = KINDS.reject { |fault, _| seed < SINCE.fetch(fault, 0) }
      items, at = [], 1.0
      count = 3 + random.rand(5)
      100.times do
        break if items.size == count
        item = item(random, kinds, options.members, at)
        next unless fits?(item, items)
        items << item
        at = (at + [0.1, 0.3, 1.0, 2.5, 5.0].sample(random: random)).round(1)
      end
      new(items)
    end

    def self.load(text) = new(JSON.parse(text).map { |i| Item.new(**i.transform_keys(&:to_sym)) })
    def dump = JSON.pretty_generate(items.map(&:to_h))
    def without(*gone) = Schedule.new(items - gone)
    def to_s = items.join("\n")

    class << self
      private

      def item(random, kinds, members, at)
        fault = drawn(random, kinds)
        _, whom, how, seconds = KINDS.fetch(fault)
        Item.new(at: at, fault: fault, on: whom(random, whom, members), how: how&.sample(random: random), for: seconds.is_a?(Range) ? random.rand(seconds) : seconds)
      end

      def drawn(random, kinds)
        at = random.rand(kinds.values.sum(&:first))
        kinds.find { |_, (weight)| (at -= weight).negative? }.first
      end

      def whom(random, whom, members)
        all = (0...members).to_a.shuffle(random: random)
        case whom
        when :one then all.take(1)
        when :few then all.take([1, 1, 1, 2, members].sample(random: random)).sort
        when :pair then all.take(2)
        when :half then all.take([members / 2, 1].max).sort
        else all
        end
      end

      def fits?(item, others)
        overlapping = others.select { |o| o.ends + 2 > item.at && o.at < item.ends + 2 }
        return false if ONCE.include?(item.fault) && others.any? { |o| ONCE.include?(o.fault) }
        return false if WHOLE.include?(item.fault) && overlapping.any? { |o| WHOLE.include?(o.fault) && (o.on & item.on).any? }
        overlapping.count { |o| o.for.positive? } < AT_A_TIME
      end
    end
  end
end
