# frozen_string_literal: true

require_relative 'support'

RSpec.describe 'a cluster of one', type: :cluster do
  ClusterSpec.with_lab(self, 'single', nodes: 1, ops: ClusterSpec::SMALL + ClusterSpec::RSYNC)

  it 'serves, is healthy, and the errand has nothing to do' do
    write(0, 'alone')
    expect(http(0, '/', auth: false)).to eq([200, 'synced'])
    expect(errand.values.map(&:status)).to eq([0])
    expect(ctl(0, 'status').out).to include('Healthy: all 1 members')
  end

  it 'tells its state and seqno as galera_check does (G4, G5)' do
    told = ->(word) { ctl(0, word).out.chomp }
    expect([told.call('state'), told.call('seqno')]).to match(['running', a_string_matching(/\A\d+\z/)])
    lab.stop(0)
    expect([told.call('state'), told.call('seqno')]).to match(['stopped', a_string_matching(/\A\d+\z/)])
  end

  it 'comes back after a stop by itself: all members are seen (G2)' do
    lab.start(0)
    wait_healthy
    expect(lineage(0).last).to eq(%w[mysql/0 EveryMemberSeen])
    expect_nothing_lost
  end

  it 'is stopped and started by the compatible routes for single nodes' do
    expect(http(0, '/stop_mysql', method: 'POST')).to eq([200, 'stop successful'])
    expect(http(0, '/start_mysql_single_node', method: 'POST', limit: 60)).to eq([200, 'single node start successful'])
    wait_healthy
    expect_nothing_lost
  end

  it 'comes back by itself after a crash: its saved view has one member' do
    lab.kill(0)
    wait_healthy
    expect_nothing_lost
  end

  it 'is recreated on its disk' do
    lab.recreate(0)
    wait_healthy
    expect_nothing_lost
  end
end
