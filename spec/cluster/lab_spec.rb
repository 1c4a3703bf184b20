# frozen_string_literal: true

require_relative 'support'

RSpec.describe 'the lab', type: :cluster do
  ENTRY = File.join(RELEASE_DIR, 'ci', 'lab')

  def left_of(name)
    namespaces = Dir.exist?('/run/netns') ? Dir.children('/run/netns').grep(/\Amg-#{name}-/) : []
    dir = File.join(Lab::HOME, name)
    processes = Dir['/proc/[0-9]*/cmdline'].select { |f| File.read(f).include?("#{dir}/") rescue false }
    mounts = File.readlines('/proc/self/mounts').grep(/#{Regexp.escape(dir)}/)
    { namespaces: namespaces, processes: processes, mounts: mounts, directory: Dir.exist?(dir) }
  end

  nothing = { namespaces: [], processes: [], mounts: [], directory: false }

  it 'that was killed at any moment leaves nothing that `down` does not remove' do
    [0.4, 1.5, 3].each do |seconds|
      up = Process.spawn(ENTRY, '--lab', 'killed', 'up', *ClusterSpec::SMALL.flat_map { |o| ['--ops', o] }, %i[out err] => '/dev/null')
      sleep seconds
      Process.kill('KILL', up)
      Process.wait(up)
      expect(system(ENTRY, '--lab', 'killed', 'down')).to be(true)
      expect(left_of('killed')).to eq(nothing), "killed after #{seconds} s"
    end
  ensure
    system(ENTRY, '--lab', 'killed', 'down')
  end

  it 'deploys a change in BOSH\'s order, instance after instance, and runs beside another lab' do
    one = Lab.new('one')
    two = Lab.new('two')
    [one, two].each(&:down)
    one.up(nodes: 1, ops: ClusterSpec::SMALL)
    two.up(nodes: 1, ops: ClusterSpec::SMALL, deploy: false)
    @lab = one
    wait_healthy
    before = one.mariadbd(0)
    one.deploy
    expect(one.mariadbd(0)).to eq(before), 'nothing had changed'
    one.deploy(properties: { 'mariadb.max_connections' => 77 })
    errand
    wait_healthy
    expect(value(0, 'SELECT @@max_connections')).to eq('77')
    expect(log(0, 'mariadb/drain.log')).to include('job_shutdown', 'grastate.dat is clean')
    expect(two.vms.map(&:up?)).to eq([true])
  ensure
    [one, two].compact.each(&:down)
    expect([left_of('one'), left_of('two')]).to eq([nothing, nothing])
  end

  attr_reader :lab

  it 'says what is wrong with a command, and ends with 1 or 2' do
    { %w[--lab none status] => 1, %w[dance] => 2, [] => 2, %w[--lab none sql 0 SELECT] => 1, %w[--help] => 0 }.each do |arguments, status|
      system(ENTRY, *arguments, %i[out err] => '/dev/null')
      expect($?.exitstatus).to eq(status), arguments.join(' ')
    end
  end
end
