# frozen_string_literal: true

require_relative 'support'

# Exactly half is no majority: nothing may be done while the network is cut, and nothing needs to be after.
{ 'quad' => [4, [0, 1], [2, 3]], 'pair' => [2, [0], [1]] }.each do |name, (nodes, left, right)|
  RSpec.describe "a cluster of #{nodes}, cut in halves", type: :cluster do
    ClusterSpec.with_lab(self, name, nodes: nodes, ops: ClusterSpec::SMALL + ClusterSpec::RSYNC)

    # Longer than any member waits before it acts by itself.
    def stand_still(seconds: 30)
      before = lab.instances.map { |i| [lab.mariadbd(i), memory(i)['lineage'].size] }
      (seconds * 2).times do
        expect(lab.instances.map { |i| wsrep(i, 'cluster_status') }).not_to include('Primary')
        sleep 0.5
      end
      expect(lab.instances.map { |i| [lab.mariadbd(i), memory(i)['lineage'].size] }).to eq(before)
    end

    it 'does nothing while it is cut, says why, and merges by itself once healed (Q1, Q2, Q12, Q13, H11)' do
      write(0, 'before the cut')
      left.product(right).each { |a, b| lab.cut_link(a, b) }
      wait('nobody to be primary') { lab.instances.all? { |i| wsrep(i, 'cluster_status') == 'non-Primary' } }
      expect(lab.sql(0, "INSERT INTO ledger.entries VALUES ('without quorum')").err).to include('WSREP has not yet prepared node for application use')
      wait_saying('mysql/0', %r{no quorum.*not seen: .*mysql/#{right.last}})
      stand_still
      lab.heal
      wait_healthy
      expect_nothing_lost
    ensure
      lab.heal
    end

    it 'does nothing for the half that survives a power loss of the other; back once that is back (Q3)' do
      write(0, 'before the power loss')
      lab.power_off(*right)
      wait('the rest to be without quorum') { left.all? { |i| wsrep(i, 'cluster_status') == 'non-Primary' } }
      before = left.map { |i| lab.mariadbd(i) }
      sleep 25
      expect(left.map { |i| [lab.mariadbd(i), wsrep(i, 'cluster_status')] }).to eq(before.map { |pid| [pid, 'non-Primary'] })
      lab.power_on(*right)
      wait_healthy
      expect(left.map { |i| lab.mariadbd(i) }).to eq(before)
      expect_nothing_lost
    ensure
      lab.power_on(*right)
    end
  end
end
