# frozen_string_literal: true

require 'fileutils'
require 'json'

module Storm
  # The figures of all seeds that were run, one JSON object a line, and the table that is made of them.
  class Results
    FILE = File.join(Lab::RELEASE, 'target', 'storm', 'results.jsonl')

    def self.add(record)
      FileUtils.mkdir_p(File.dirname(FILE))
      File.open(FILE, 'a') { |f| f.puts(JSON.dump(record)) }
    end

    def self.all = File.exist?(FILE) ? File.readlines(FILE).map { |l| JSON.parse(l) } : []

    def initialize(records = self.class.all) = @records = records

    def to_s
      <<~TEXT
        | | |
        |---|---|
        | schedules | #{@records.size}, of #{@records.map { |r| r['seed'] }.uniq.size} seeds |
        | faults carried out | #{sum('faults', &:size)} |
        | writes acknowledged | #{sum('acknowledged')} |
        | transfers acknowledged | #{sum('transfers')} |
        | reads compared | #{sum('reads')} |
        | acknowledged, and lost without a person's word | #{@records.select { |r| r['given_up'].empty? }.sum { |r| r['lost'] }} |
        | schedules after which a person was asked for | #{@records.count { |r| r['person'].any? }} |
        | schedules that failed | #{@records.count { |r| r['wrong'].any? }} |

        | all Synced again, after all faults were ended | schedules | median | p90 | max |
        |---|---|---|---|---|
        #{kinds.map { |kind, seconds| "| #{kind} | #{seconds.size} | #{[0.5, 0.9, 1.0].map { |p| format('%.1f s', at(seconds, p)) }.join(' | ')} |" }.join("\n")}

        | fault | carried out | in schedules that failed |
        |---|---|---|
        #{faults.map { |name, (n, failed)| "| #{name} | #{n} | #{failed} |" }.join("\n")}
      TEXT
    end

    private

    def sum(field, &size) = @records.sum { |r| size ? size.call(r[field]) : r[field] }

    def kinds = @records.select { |r| r['seconds'] }.group_by { |r| r['recovery'] }.transform_values { |rs| rs.map { |r| r['seconds'] }.sort }.sort_by { |_, s| -s.size }
    def at(sorted, part) = sorted[[(sorted.size * part).ceil - 1, 0].max]

    def faults
      @records.flat_map { |r| r['faults'].map { |f| [f, r['wrong'].any?] } }.group_by(&:first).transform_values { |fs| [fs.size, fs.count(&:last)] }.sort
    end
  end
end
