# frozen_string_literal: true

require_relative 'rendering'

# Alert rules and dashboard rest on names that the agent must really have. What it answers is checked on a real
# cluster, in spec/cluster/report_spec.rb.
RSpec.describe 'Alert rules and dashboard', type: :rendering do
  def read(*path) = File.read(File.join(RELEASE_DIR, *path))

  let(:metrics) { read('src/agent/metrics.rs').scan(/"((?:mariadb_galera|process)_[a-z_]+)"/).flatten.uniq }
  let(:rules) { YAML.safe_load(read('docs/alerts.yml'))['groups'].flat_map { |g| g['rules'] } }
  let(:dashboard) { JSON.parse(read('docs/grafana-dashboard.json')) }
  let(:codes) { read('src/cluster/diagnosis/codes.rs')[/pub enum ClusterCode.*?^}/m].scan(/^    (\w+),/).flatten }

  def names(text) = text.scan(/\b(?:mariadb_galera|process)_[a-z_]+\b/).uniq

  it 'use metrics that there are' do
    queries = dashboard['panels'].flat_map { |p| p['targets'].map { |t| t['expr'] } } + dashboard.to_s.scan(/label_values\(\w+/)
    expect(names(rules.map { |r| r['expr'] }.join(' ')) - metrics).to eq([])
    expect(names(queries.join(' ')) - metrics).to eq([])
  end

  it 'name diagnoses that there are, and that the runbook explains' do
    expressions = rules.map { |r| r['expr'] }.join("\n")
    named = expressions.scan(/diagnosis\{code=~?"([^"]+)"/).flatten.flat_map { |c| c.split('|') }
    expect(named).not_to be_empty
    expect(named - codes).to eq([])
    expect(named.reject { |c| read('docs/runbook.md').match?(/^### #{c}$/) }).to eq([])
  end

  it 'say in each rule how bad it is, and in words what to do' do
    expect(rules.map { |r| r['alert'] }.uniq.size).to eq(rules.size)
    rules.each do |rule|
      expect(rule['labels']['severity']).to match(/\A(critical|warning)\z/)
      expect(rule['annotations'].values_at('summary', 'description')).to all(be_a(String).and(match(/\S/)))
      expect(rule['for']).to match(/\A\d+m\z/)
    end
  end

  it 'are documented, name by name' do
    expect(metrics.reject { |m| read('docs/interface.md').include?("`#{m}`") }).to eq([])
  end

  it 'are accepted by Prometheus itself' do
    output, status = Open3.capture2e('promtool', 'check', 'rules', File.join(RELEASE_DIR, 'docs/alerts.yml'))
    expect(status).to be_success, output
  end
end
