# frozen_string_literal: true

require_relative 'rendering'

RSpec.describe 'job arbitrator', type: :rendering do
  arbitrators = { 'instances' => [{ 'name' => 'arbitrator', 'index' => 0, 'id' => 'id-1', 'address' => '10.0.0.9', 'bootstrap' => true, 'properties' => {} }], 'properties' => {} }
  pem = { 'ca' => 'CA', 'certificate' => 'C', 'private_key' => 'K' }

  define_method(:all_links) { |mariadb: {}, agent: {}| links(mariadb: mariadb, agent: agent).merge('arbitrator' => arbitrators) }
  define_method(:arbitrator) { |links = all_links, **options| JSON.parse(render('arbitrator', 'config/galera-arbitrator.yml', links: links, **options)) }

  it 'knows itself by its id, the members, how to ask them, and shows what agents show' do
    config = arbitrator
    expect(config['instance']).to eq('arbitrator/0')
    expect(config['cluster']['members'].map { |m| m['name'] }).to eq(%w[mysql/0 mysql/1 mysql/2])
    expect(config['cluster']['arbitrators']).to eq([{ 'name' => 'arbitrator/0', 'id' => 'id-1', 'address' => '10.0.0.9' }])
    expect(config.values_at('agents', 'listen')).to match([a_hash_including('port' => 9200, 'password' => 'secret'), { 'address' => '0.0.0.0', 'port' => 9200 }])
    expect(config).not_to have_key('tls')
  end

  it 'is known to the members, and only where it is deployed' do
    member = ->(given) { JSON.parse(render('mariadb', 'config/member.yml', links: given))['cluster'] }
    expect(member.call(all_links)['arbitrators']).to eq([{ 'name' => 'arbitrator/0', 'id' => 'id-1', 'address' => '10.0.0.9' }])
    expect(member.call(links)).not_to have_key('arbitrators')
  end

  it 'has those of the members\' provider options that concern the group, and keeps no saved view' do
    options = ->(given) { arbitrator(all_links(mariadb: given))['garbd']['options'].split(';') }
    expect(options.call({})).to eq(%w[gmcast.listen_addr=tcp://0.0.0.0:4567 pc.recovery=false])
    given = { 'galera_port' => 14_567, 'provider_options' => { 'evs.suspect_timeout' => 'PT9S', 'gcs.fc_limit' => 5, 'gcache.size' => '1G' } }
    expect(options.call(given)).to eq(%w[evs.suspect_timeout=PT9S gmcast.listen_addr=tcp://0.0.0.0:14567 pc.recovery=false])
    expect(options.call('tls' => { 'replication' => pem })).to include('socket.ssl=yes', 'socket.ssl_key=/var/vcap/jobs/arbitrator/config/tls/replication.key')
  end

  it 'fails without the links, and on an instance that is not one' do
    expect { arbitrator({}) }.to raise_error(JobTemplates::MissingLink)
    expect { arbitrator(all_links, index: 2) }.to raise_error(/id-2 is not in the link arbitrator/)
  end

  it 'renders what galera-arbitrator accepts, in every form', :executables do
    tls = { 'tls' => { 'ca' => 'CA', 'server_name' => 'x', 'server' => pem.except('ca'), 'client' => pem.except('ca') } }
    [all_links, all_links(agent: tls, mariadb: { 'tls' => { 'replication' => pem } }), all_links(agent: { 'password' => Rendering::HOSTILE })].each do |given|
      _out, err, status = check_config('galera-arbitrator', JSON.dump(arbitrator(given)))
      expect([status.exitstatus, err]).to eq([0, ''])
    end
    expect(check_config('galera-arbitrator', JSON.dump(arbitrator.merge('instance' => 'x')))[1..].join).to match(/cluster.arbitrators, found "x"/)
  end
end

RSpec.describe 'job rejoin', type: :rendering do
  def decision(given) = JSON.parse(render('rejoin', 'config/decision.yml', properties: { 'rejoin' => given }))

  it 'decides nothing unless the instance and what it gives up are named (Q11)' do
    expect(JSON.parse(render('rejoin', 'config/decision.yml'))).to eq('delete' => false)
    named = { 'instance' => 'mysql/2', 'abandon_position' => '746e46f3-8f76-11e7-9c1c-a220eabab4ba:9' }
    expect(decision(named)).to eq(named.merge('delete' => false))
    expect { decision(named.except('instance')) }.to raise_error(/whose/)
  end
end

RSpec.describe 'job diagnose', type: :rendering do
  def config(**options) = JSON.parse(render('diagnose', 'config/galera-ctl.yml', **options))

  it 'knows all members and how to ask them, on a VM that is no member too' do
    expect(config['cluster']['members'].map { |m| m['name'] }).to eq(%w[mysql/0 mysql/1 mysql/2])
    expect(config).to include('runs_on' => 'mysql/1', 'galera_port' => 4567)
    expect(config['agents']).to include('port' => 9200, 'password' => 'secret')
    expect { config(links: {}) }.to raise_error(JobTemplates::MissingLink)
  end
end
