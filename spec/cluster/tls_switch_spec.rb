# frozen_string_literal: true

require 'tempfile'
require_relative 'client'

# TLS comes and goes by deploys, and so does the authority that signed it, while a client writes through the proxy.
RSpec.describe 'a switch to TLS under load', type: :cluster do
  ops_file = ->(name) { File.join(RELEASE_DIR, "templates/ops/#{name}.yml") }
  base = ClusterSpec::SMALL + [ops_file.('proxy')]
  ClusterSpec.with_lab_under_load(self, 'tlssw', ops: base)

  # What the second example leaves, for the third.
  kept = {}

  required = [ops_file.('tls'), ops_file.('tls-dynamic')]

  define_method(:step) do |what, *ops|
    before = lab.members.to_h { |i| [i, log(i).lines.size] }
    figures = under_load_of_client(what) { lab.deploy(ops: base + ops) }
    expect(figures.longest).to be < ClusterSpec::TAKE_OVER
    lab.members.each { |i| expect(log(i).lines.drop(before[i]).join.scan(/view.changed .*primary=true size=1/)).to eq([]), "#{what}: #{i} was left alone" }
  end

  def encrypted?(instance) = value(instance, 'SELECT @@wsrep_provider_options').include?('socket.ssl = YES')
  def plain(instance) = lab.exec(0, 'curl', '--silent', '--max-time', '5', "http://#{lab.address(instance)}:9200/").out

  it 'C3: goes from plain to TLS in three deploys, and every deploy has a member that serves (D1)' do
    step('offered', ops_file.('tls'), ops_file.('tls-offered'))
    expect(plain(1)).to eq('synced')
    step('used', ops_file.('tls'), ops_file.('tls-used'))
    expect(plain(1)).to eq('synced')
    step('required', *required)
    expect(lab.members.map { |i| [encrypted?(i), plain(i)] }.uniq).to eq([[true, '']])
  end

  it 'C3: is given another authority in three deploys' do
    authority = [{ 'name' => 'next_ca', 'options' => { 'is_ca' => true, 'common_name' => 'next-ca' } },
                 { 'name' => 'next_server', 'options' => { 'ca' => 'next_ca', 'common_name' => 'galera-agent', 'alternative_names' => ['galera-agent'] } },
                 { 'name' => 'next_client', 'options' => { 'ca' => 'next_ca', 'common_name' => 'client', 'extended_key_usage' => ['client_auth'] } },
                 { 'name' => 'next_replication', 'options' => { 'ca' => 'next_ca', 'common_name' => 'galera', 'extended_key_usage' => %w[server_auth client_auth] } }]
    variables = authority.map { |v| { 'type' => 'replace', 'path' => '/variables/-', 'value' => v.merge('type' => 'certificate') } }
    put = ->(job, path, value) { { 'type' => 'replace', 'path' => "/instance_groups/name=mysql/jobs/name=#{job}/properties/tls/#{path}", 'value' => value } }
    trust = ->(text) { [put.('galera-agent', 'ca', text.('galera_agent_server')), put.('mariadb', 'replication/ca', text.('galera_replication'))] }
    both = trust.(->(old) { "((#{old}.ca))\n((next_ca.certificate))" })
    pair = ->(variable) { { 'certificate' => "((#{variable}.certificate))", 'private_key' => "((#{variable}.private_key))" } }
    leaves = [put.('galera-agent', 'server', pair.('next_server')), put.('galera-agent', 'client', pair.('next_client')),
              *pair.('next_replication').map { |key, value| put.('mariadb', "replication/#{key}", value) }]
    written = ->(*operations) { Tempfile.create(['ops', '.yml'], lab.dir).tap { |f| f.write((variables + operations.flatten).to_yaml) }.tap(&:close).path }
    step('both authorities', *required, written.(both))
    step('certificates of the next one', *required, written.(both, leaves))
    kept[:ops] = written.(trust.(->(_) { '((next_ca.certificate))' }), leaves)
    step('the next one alone', *required, kept[:ops])
  end

  it 'C3: goes back to plain in three deploys' do
    step('used', ops_file.('tls'), ops_file.('tls-used'), kept[:ops])
    step('offered', ops_file.('tls'), ops_file.('tls-offered'), kept[:ops])
    step('plain')
    expect(lab.members.map { |i| [encrypted?(i), plain(i)] }.uniq).to eq([[false, 'synced']])
  end
end
