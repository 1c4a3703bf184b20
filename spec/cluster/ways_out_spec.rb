# frozen_string_literal: true

require_relative 'support'
require_relative '../../ci/storm.d/faults'
require_relative '../../ci/storm.d/person'

# Every refusal names a command that works in that state: somebody carries out what the page says, to the letter and
# nothing else, and the cluster comes back, or that person has lost what the command named.
RSpec.describe 'the way out that a page gives', type: :cluster do
  ClusterSpec.with_lab(self, 'ways', ops: ClusterSpec::SMALL + ClusterSpec::RSYNC)

  before { write(0, "before #{SecureRandom.hex(4)}") }

  after do |example|
    keep_logs if example.exception
    lab.members.each { |i| lab.exec(i, 'sh', '-c', 'rm -rf /var/vcap/store/mariadb/data.abandoned-* /var/vcap/store/mariadb/data.kept-*') if lab.vm(i).up? }
    put_right
  end

  # The page says this, and whoever follows it has all these members Synced; where it `asks`, by what that person did.
  def follow(saying, until_healthy: lab.members, limit: 200, asks: true)
    told, person = [], Storm::Person.new(lab, ->(text) { told << text }, patience: 2, pause: 1)
    pages = []
    wait("#{until_healthy.join(', ')} to be Synced by what the page says", limit) do
      pages |= [lab.members.filter_map { |i| supervisor(i)&.fetch('detail', nil) if lab.vm(i).up? }.join(' | ')]
      next true if until_healthy.all? { |i| synced?(i) && wsrep(i, 'cluster_size') == until_healthy.size.to_s }
      person.step
      false
    end
    expect(pages).to include(saying), pages.last(5).join("\n")
    expect(person.refused).to eq([])
    expect(person.done.any?).to be(true), "nobody did anything: #{pages.last(3).join("\n")}" if asks
    person
  rescue LabParts::Failed => e
    raise "#{e.message}\n#{told.join("\n")}\n#{pages.last(3).join("\n")}"
  end

  def outage
    all_down
    forget_views
  end

  it 'NotSeen: a VM is gone for good, and comes back later' do
    outage
    lab.power_off(2)
    start_all([0, 1])
    expect(follow(/PartialKnowledge: not seen: mysql\/2/, until_healthy: %w[mysql/0 mysql/1]).given_up).to eq(['mysql/2'])
    lab.power_on(2)
    lab.start(2, await: false)
    follow(/./, asks: false)
    expect_nothing_lost
  end

  it 'NoSupervisor: what does not run is started' do
    outage
    start_all([0, 1])
    follow(/galera-start does not run on mysql\/2/)
    expect_nothing_lost
  end

  it 'NoSupervisor, T10: the disk of one takes no write' do
    outage
    begin
      expect(lab.exec(2, 'mount', '-o', 'remount,bind,ro', '/var/vcap/store')).to be_ok
      start_all
      follow(/not known of mysql\/2 \(.*Read-only file system/, until_healthy: %w[mysql/0 mysql/1])
    ensure
      expect(lab.exec(2, 'mount', '-o', 'remount,bind,rw', '/var/vcap/store')).to be_ok
    end
    start_all([2])
    follow(/./, asks: false)
    expect_nothing_lost
  end

  it 'MayHaveLostData: a member of the last view has a new disk' do
    outage
    lab.recreate(2, lose_disk: true)
    start_all
    follow(/has no data, and may have had more/)
    expect_nothing_lost
  end

  it 'AheadOfChoice: the furthest died in a DDL' do
    [0, 1].each { |i| lab.stop(i) }
    write(2, "furthest #{SecureRandom.hex(4)}")
    all_down
    forget_views
    lab.exec(2, 'sed', '-i', '-E', 's/^uuid:.*/uuid:    00000000-0000-0000-0000-000000000000/; s/^seqno:.*/seqno:   -1/', data(2, 'grastate.dat'))
    start_all
    follow(/cannot be made primary by itself|died|DDL/)
    expect_nothing_lost
  end

  it 'DifferentHistories: the disk of another cluster' do
    outage
    lab.exec(2, 'sed', '-i', '-E', "s/^uuid:.*/uuid:    #{SecureRandom.uuid}/; s/^seqno:.*/seqno:   7/", data(2, 'grastate.dat'))
    lab.exec(2, 'sh', '-c', "rm -f /var/vcap/store/mariadb/galera/memory.json* #{data(2, 'galera.cache')}")
    start_all
    follow(/DivergentHistories|OtherHistory|disagree|not known/)
    expect_nothing_lost
  end

  it 'a flag that somebody wrote by hand keeps nobody from coming back (safe_to_bootstrap on two)' do
    lab.members.each { |i| lab.stop(i) }
    lab.exec(0, 'sed', '-i', 's/safe_to_bootstrap: 0/safe_to_bootstrap: 1/', data(0, 'grastate.dat'))
    lab.members.each { |i| lab.start(i, await: false) }
    follow(/LastToLeave|automatic recovery by mysql\/2/, asks: false)
    expect_nothing_lost
  end

  it 'Apart: they live, and do not hear each other' do
    lab.members.each { |i| expect(lab.exec(i, 'nft', drop_group_port)).to be_ok }
    wait('nobody to be primary') { lab.members.none? { |i| wsrep(i, 'cluster_status') == 'Primary' } }
    wait_page('mysql/0', /AllNonPrimary|network/)
    lab.members.each { |i| lab.exec(i, 'nft', 'delete table inet galera') }
    follow(/./, asks: false)
    expect_nothing_lost
  end

  it 'MayBeAlive: the agent of one that lives is down' do
    lab.monit(2, 'stop', 'galera-agent')
    [0, 1].each { |i| lab.monit(i, 'unmonitor', 'mariadb') }
    [0, 1].map { |i| Thread.new { lab.exec(i, 'pkill', '-KILL', '-x', 'mariadbd') } }.each(&:join)
    wait('supervisors to be gone') { [0, 1].none? { |i| supervisor(i) } }
    forget_views([0, 1])
    start_all([0, 1])
    wait_saying('mysql/0', /MayBeAlive: mysql\/2/)
    lab.monit(2, 'start', 'galera-agent')
    follow(/MayBeAlive|primary/, asks: false)
    expect_nothing_lost
  end

  it 'NoData: every data directory is lost, and a person begins empty' do
    outage
    lab.members.each { |i| lab.exec(i, 'sh', '-c', "rm -rf #{data(i)}") }
    start_all
    expect(follow(/NoData|no member has data/).given_up).not_to be_empty
    ledger.clear
  end

  it 'Diverged: two parts were each begun by a person' do
    outage
    lab.power_off(2)
    start_all([0, 1])
    follow(/PartialKnowledge/, until_healthy: %w[mysql/0 mysql/1])
    lab.power_off(0, 1)
    lab.power_on(2)
    lab.start(2, await: false)
    expect(follow(/PartialKnowledge/, until_healthy: %w[mysql/2]).given_up).to match_array(%w[mysql/0 mysql/1])
    lab.power_off(2)
    lab.members.each { |i| FileUtils.rm_f(lab.vm(i).vcap('store/mariadb/data/gvwstate.dat')) }
    lab.power_on(*lab.members)
    lab.members.each { |i| lab.start(i, await: false) }
    expect(follow(/Diverged: the members were begun apart/).given_up).not_to be_empty
    expect_nothing_lost
  end

  it 'NotCaughtUp: the last view ended before anybody saw what it had, and who was not in it is not seen' do
    [0, 1].each { |i| lab.exec(i, 'pkill', '-STOP', '-x', 'galera-start') }
    lab.power_off(2)
    wait('a view of two') { [0, 1].all? { |i| synced?(i, cluster_size: '2') } }
    lab.power_off(0, 1)
    lab.power_on(0, 1)
    expect(follow(/PartialKnowledge: not known: mysql\/2/, until_healthy: %w[mysql/0 mysql/1]).given_up).to eq(['mysql/2'])
    lab.power_on(2)
    follow(/./, asks: false)
    expect_nothing_lost
  end

  it 'BootstrapUnrecorded: a member was made primary by hand, and nobody looks after it' do
    lab.monit(0, 'unmonitor', 'mariadb')
    lab.exec(0, 'pkill', '-KILL', '-x', 'galera-start')
    lab.exec(0, 'nft', drop_group_port)
    wait('mysql/0 to be without quorum') { wsrep(0, 'cluster_status') == 'non-Primary' }
    [1, 2].map { |i| Thread.new { lab.exec(i, 'pkill', '-KILL', '-x', 'mariadbd') } }.each(&:join)
    expect(lab.sql(0, "SET GLOBAL wsrep_provider_options='pc.bootstrap=YES'")).to be_ok
    [1, 2].each { |i| wait_saying("mysql/#{i}", /mysql\/0 was begun by hand/) }
    lab.exec(0, 'nft', 'delete table inet galera')
    follow(/mysql\/0 was begun by hand/)
    expect_nothing_lost
  end

  it 'MembershipDiffers: a VM has the configuration of another cluster, and is made anew' do
    outage
    file = '/var/vcap/jobs/mariadb/config/member.yml'
    config = JSON.parse(lab.exec(2, 'cat', file).out)
    other = JSON.dump(config.merge('cluster' => config['cluster'].merge('name' => 'elsewhere')))
    expect(lab.exec(2, 'sh', '-c', "cat > #{file}", stdin: other)).to be_ok
    lab.monit(2, 'restart', 'galera-agent')
    start_all
    wait_page('mysql/0', /MembershipConfigMismatch.*`bosh recreate` the VM that has the old configuration/m)
    lab.recreate(2, await: false)
    follow(/./, asks: false)
    expect_nothing_lost
  end

  def drop_group_port
    'add table inet galera; add chain inet galera in { type filter hook input priority 0; }; add rule inet galera in tcp dport 4567 drop; add rule inet galera in tcp sport 4567 drop'
  end

  def wait_page(instance, words)
    wait("the page of #{instance} to say #{words.inspect}") { lab.exec(instance, Storm::Faults::CTL, 'diagnose').words.match?(words) }
  end
end
