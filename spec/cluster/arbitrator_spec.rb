# frozen_string_literal: true

require_relative 'support'

# Two members with data, and one vote without.
RSpec.describe 'two members and an arbitrator', type: :cluster do
  arbiter = File.join(RELEASE_DIR, 'templates/ops/arbitrator.yml')
  ClusterSpec.with_lab(self, 'arbiter', ops: ClusterSpec::SMALL + ClusterSpec::RSYNC + [arbiter])

  third = 'arbitrator/0'
  define_method(:third) { third }
  def garbd = lab.exec(third, 'pgrep', '-x', 'garbd').out.split.first
  def health(of) = http(of, '/', from: 0)
  def voting?(limit: 60) = wait("#{third} to vote (#{health(third).last})", limit) { health(third) == [200, 'voting'] }
  def look = JSON.parse(ctl(0, 'diagnose', '--once', '--json').out).fetch('diagnosis')
  def arbitrator_log = log(third, 'arbitrator/galera-arbitrator.log')

  # Whatever an example left behind.
  def whole
    lab.power_on(*lab.instances)
    lab.members.each { |i| lab.monit(i, 'start', 'mariadb') }
    lab.monit(third, 'start', 'arbitrator')
    wait_healthy(limit: 200)
    voting?
  end

  it 'is a voter without data, and the cluster is healthy with it (Q13)' do
    voting?
    wait('two and one') { wsrep(0, 'cluster_size') == '3' }
    wait('a healthy cluster') { look['code'] == 'Healthy' }
    expect(look['warnings'].map { |w| w['code'] }).not_to include('EvenSizedCluster', 'ArbitratorAbsent')
    expect(ctl(0, 'status').status).to eq(0)
    expect(errand.values.map(&:status)).to eq([0, 0])
    word = observation(0)['arbitrators'].first
    expect(word['seen']).to include('name' => third, 'group' => 'galera', 'component' => { 'primary' => true, 'voters' => 3 })
    expect(lab.exec(0, 'curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', "http://#{lab.address(third)}:9200/v1/arbitrator").out).to eq('401')
    write(0, 'with an arbitrator')
  end

  it 'the loss of one member: the other goes on, and takes it back (Q3, Q12, Q13)' do
    lab.power_off(1)
    wait('mysql/1 to be counted out') { wsrep(0, 'cluster_size') == '2' }
    write(0, 'by the one that is left')
    # For a moment the arbitrator still counts three.
    wait('the diagnosis to say so') { look.values_at('code', 'class') == %w[DegradedToOne degraded] }
    lab.power_on(1)
    whole
    expect_nothing_lost(lab.members)
  end

  it 'a mariadbd that dies beside it is back by itself, though only one member is left that counts (Q9)' do
    lab.kill(1)
    whole
    expect_nothing_lost(lab.members)
  end

  it 'kill -9 of garbd: another one votes; of its supervisor: garbd is not touched (H17)' do
    voting?
    before = garbd
    lab.exec(third, 'pkill', '-KILL', '-x', 'garbd')
    wait('another garbd') { garbd && garbd != before }
    voting?
    wait_healthy
    before = garbd
    lab.exec(third, 'pkill', '-KILL', '-x', 'galera-arbitrat')
    wait('its successor to answer') { arbitrator_log.lines.grep(/garbd.adopted/).size == 1 && health(third) == [200, 'voting'] }
    expect([garbd, wsrep(0, 'cluster_size')]).to eq([before, '3'])
  end

  it 'is stopped and started as BOSH does: its vote leaves with it, and comes back (Q4)' do
    lab.stop(third)
    expect(garbd).to be_nil
    wait('its vote to be gone') { wsrep(0, 'cluster_size') == '2' }
    write(1, 'without an arbitrator')
    wait('that to be told') { look['warnings'].any? { |w| w['code'] == 'ArbitratorAbsent' } }
    lab.start(third)
    whole
  end

  it 'all members stop: it does not stay behind as a primary component that nobody can join, and all come back' do
    lab.members.reverse_each { |i| lab.stop(i) }
    wait('garbd to have left') { garbd.nil? }
    expect(arbitrator_log).to include('all members have left')
    wait('it to say why it stays out') { health(third) == [503, 'not-voting: stay out: no primary component is seen; an arbitrator joins one, and never makes one'] }
    lab.start
    whole
    expect_nothing_lost(lab.members)
  end

  it 'all members are killed: it stands in nobody\'s way, and is in again' do
    lab.members.map { |i| Thread.new { lab.kill(i) } }.each(&:join)
    whole
    expect_nothing_lost(lab.members)
  end

  it 'power loss of all three: back by itself, nothing lost (S19)' do
    write(0, 'before the power loss')
    lab.power_off(*lab.instances)
    lab.power_on(*lab.instances)
    whole
    expect_nothing_lost(lab.members)
  end

  it 'a person leaves one member out: it votes in the group that was begun, under its new name' do
    lab.members.each { |i| lab.monit(i, 'unmonitor', 'mariadb') }
    lab.members.map { |i| Thread.new { lab.kill(i) } }.each(&:join)
    wait('garbd to be without quorum') { health(third).last.include?('no quorum') }
    lab.power_off(1)
    lab.monit(0, 'start', 'mariadb')
    wait_phase('mysql/0', 'waiting')
    forced = lab.exec(0, '/var/vcap/jobs/bootstrap/bin/run', '--node', 'mysql/0', '--accept-missing', 'mysql/1')
    expect(forced.words).to include('Recovered in part: mysql/0'), forced.to_s
    voting?(limit: 90)
    group = observation(0).dig('arbitrators', 0, 'seen', 'group')
    expect(group).to match(/\Agalera~\w{6}\z/)
    expect(arbitrator_log).to include('its group is galera')
    expect(wsrep(0, 'cluster_size')).to eq('2')
  end
end
