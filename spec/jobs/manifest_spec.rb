# frozen_string_literal: true

require_relative 'rendering'
require_relative '../../ci/lab.d/manifest'

RSpec.describe 'templates/', type: :rendering do
  directory = File.join(RELEASE_DIR, 'templates')
  ops = Dir[File.join(directory, 'ops', '*.yml')].to_h { |f| [File.basename(f, '.yml'), f] }
  deployment = File.join(directory, 'deployment.yml')

  define_method(:tree_with) do |*names|
    manifest = LabParts::Manifest.new(deployment, ops: ops.values_at(*names), variables_file: File.join(@directory, 'variables.yml'))
    manifest.instance_variable_get(:@tree)
  end
  define_method(:filled) { |*names| LabParts::Manifest.new(deployment, ops: ops.values_at(*names), variables_file: File.join(@directory, 'variables.yml')).groups }

  # Keys take long to make: all examples share the variables.
  before(:context) { @directory = Dir.mktmpdir }
  after(:context) { FileUtils.rm_rf(@directory) }

  # Paths of properties that the job's spec does not declare.
  def undeclared(declared, given, path = [])
    return [] if declared.include?(path.join('.'))
    return [path.join('.')] unless given.is_a?(Hash) && (path.empty? || declared.any? { |d| d.start_with?("#{path.join('.')}.") })
    given.flat_map { |key, value| undeclared(declared, value, path + [key]) }
  end

  def strings(node) = node.is_a?(Hash) ? node.flat_map { |pair| strings(pair) } : node.is_a?(Array) ? node.flat_map { |n| strings(n) } : [node.to_s]

  def mariadb(*names) = filled(*names).first['jobs'].find { |j| j['name'] == 'mariadb' }['properties']

  # One or the other: with two kinds of proxies, BOSH does not know which link is meant.
  alternatives = %w[proxy colocated-proxy]
  # None, each, each two, and all that go together: files meet in pairs, and every subset would be thousands.
  combinations = (0..2).flat_map { |n| ops.keys.sort.combination(n).to_a }.reject { |names| (alternatives - names).empty? }
  combinations += alternatives.map { |left_out| ops.keys.sort - [left_out] }
  # The steps towards TLS go after the file that describes it.
  steps = %w[tls-dynamic tls-offered tls-used]
  combinations.reject! { |names| (names & steps).any? && !names.include?('tls') }
  combinations.each do |names|
    describe "deployment.yml with #{names.empty? ? 'no ops file' : names.join(', ')}" do
      it 'has jobs of this release, with properties that they declare' do
        tree_with(*names)['instance_groups'].flat_map { |g| g['jobs'] }.each do |job|
          spec = YAML.load_file(File.join(RELEASE_DIR, 'jobs', job['name'], 'spec'))
          expect(job['release']).to eq(YAML.load_file(File.join(RELEASE_DIR, 'config/final.yml'))['name'])
          expect(undeclared(spec['properties'].keys, job['properties'] || {})).to eq([]), job['name']
        end
      end

      it 'defines the variables that it uses, before those that they sign, and uses those that it defines' do
        tree = tree_with(*names)
        defined = tree['variables'].map { |v| v['name'] }
        used = strings(tree['instance_groups']).flat_map { |s| s.scan(/\(\(([^.)]+)/) }.flatten.uniq
        signed_by = tree['variables'].to_h { |v| [v['name'], v.dig('options', 'ca')] }.compact
        expect(used - defined).to eq([])
        expect(defined - used - signed_by.values).to eq([])
        expect(signed_by.select { |name, ca| defined.index(ca).nil? || defined.index(ca) > defined.index(name) }).to eq({})
      end

      it 'renders' do
        groups = filled(*names)
        among = ->(group) { Array.new(group['instances']) { |n| { 'name' => group['name'], 'index' => n, 'id' => "#{group['name']}-#{n}", 'address' => "10.0.0.#{n}" } } }
        links = groups.flat_map { |g| g['jobs'].map { |j| [g, j] } }.flat_map do |group, given|
          provider = job(given['name'])
          provider.provides.map { |link, declared| [link, { 'instances' => among.(group), 'properties' => provider.shared(declared, given['properties'] || {}) }] }
        end
        groups.each do |group|
          group['jobs'].each { |j| rendered(j['name'], properties: j['properties'] || {}, links: links.to_h, spec: among.(group).first) }
        end
      end
    end
  end

  it 'would not pass with a property that no job declares' do
    expect(undeclared(%w[a.b c], { 'a' => { 'b' => { 'any' => 1 }, 'x' => 1 }, 'c' => 1, 'd' => {} })).to eq(%w[a.x d])
  end

  it 'updates one member after the other, and gives monit the time it needs' do
    update = tree_with['update']
    expect(update.values_at('canaries', 'max_in_flight', 'serial')).to eq([1, 1, true])
    expect(update.values_at('canary_watch_time', 'update_watch_time')).to all(match(/\A[1-3]0000-[6-9]00000\z/))
  end

  it 'has three members in three zones, each with a persistent disk and all jobs' do
    group = tree_with['instance_groups'].first
    expect(group['instances']).to eq(3)
    expect(group['azs'].size).to eq(3)
    expect(group['persistent_disk_type']).not_to be_nil
    expect(group['jobs'].map { |j| j['name'] }).to include('mariadb', 'galera-agent', 'bootstrap', 'diagnose', 'maintenance', 'rejoin', 'report')
  end

  it 'holds no secret: passwords and keys are variables' do
    Dir[File.join(directory, '**/*.yml')].each { |f| expect(File.read(f)).not_to match(/password: (?!\(\()|BEGIN|private_key: (?!\(\()/), f }
  end

  it 'changes what the ops files are named after' do
    expect(tree_with('single-node')['instance_groups'].first.values_at('instances', 'azs')).to eq([1, ['z1']])
    expect(mariadb('rsync-sst')['sst_method']).to eq('rsync')
    expect(mariadb('tls')['tls'].keys).to match_array(%w[replication server])
    expect(mariadb('small-footprint')['innodb_buffer_pool_size']).to eq('16M')
  end

  it 'has certificates that hold for their use: signed by the CA, and the agents\' in their server name' do
    agent = filled('tls').first['jobs'].find { |j| j['name'] == 'galera-agent' }['properties']['tls']
    ca = OpenSSL::X509::Certificate.new(agent['ca'])
    shown = OpenSSL::X509::Certificate.new(agent.dig('server', 'certificate'))
    expect(OpenSSL::SSL.verify_certificate_identity(shown, agent['server_name'])).to be(true)
    [shown, OpenSSL::X509::Certificate.new(agent.dig('client', 'certificate')), *mariadb('tls')['tls'].values.map { |f| OpenSSL::X509::Certificate.new(f['certificate']) }]
      .each { |certificate| expect(certificate.verify(ca.public_key)).to be(true) }
  end
end
