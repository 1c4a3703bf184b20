# frozen_string_literal: true

require_relative 'rendering'

RSpec.describe 'job galera-agent', type: :rendering do
  def agent(properties) = JSON.parse(render('galera-agent', 'config/galera-agent.yml', properties: properties))

  it 'needs a password' do
    expect { agent({}) }.to raise_error(JobTemplates::MissingProperty, /password/)
  end

  it 'speaks HTTP unless certificates are given, and wants client certificates where there is one (G15)' do
    server = { 'ca' => 'CA', 'server' => { 'certificate' => 'C', 'private_key' => 'K' } }
    expect(agent('password' => 'x')).not_to have_key('tls')
    expect(agent('password' => 'x', 'tls' => server)['tls']).not_to have_key('client_ca')
    expect(agent('password' => 'x', 'tls' => server.merge('client' => { 'certificate' => 'C', 'private_key' => 'K' }))['tls']).to have_key('client_ca')
    expect { agent('password' => 'x', 'tls' => { 'ca' => 'CA' }) }.to raise_error(/together/)
  end

  it 'C3: speaks both while a cluster is switched, and asks by HTTP whoever has no other only as long as that is offered' do
    files = { 'ca' => 'CA', 'server' => { 'certificate' => 'C', 'private_key' => 'K' }, 'client' => { 'certificate' => 'C', 'private_key' => 'K' } }
    both = %w[offered used required].to_h { |mode| [mode, agent('password' => 'x', 'tls' => files.merge('mode' => mode))['tls']['also_plain']] }
    expect(both).to eq('offered' => true, 'used' => true, 'required' => nil)
    shared = ->(mode) { links(agent: { 'tls' => { 'ca' => 'CA', 'server_name' => 'x', 'mode' => mode } }) }
    { 'mariadb' => 'config/member.yml', 'bootstrap' => 'config/galera-bootstrap.yml', 'diagnose' => 'config/galera-ctl.yml' }.each do |job, file|
      asks = %w[offered used required].map { |mode| JSON.parse(render(job, file, links: shared.(mode), index: 0))['agents']['tls']['also_plain'] }
      expect(asks).to eq([true, nil, nil]), job
    end
    expect { agent('password' => 'x', 'tls' => { 'mode' => 'used' }) }.to raise_error(/tls.mode used needs tls.ca/)
    expect { agent('password' => 'x', 'tls' => files.merge('mode' => 'on')) }.to raise_error(/tls.mode: expected offered, used, required, found "on"/)
  end

  it 'passes hostile passwords through unchanged' do
    expect(agent('password' => Rendering::HOSTILE)['password']).to eq(Rendering::HOSTILE)
  end

  it 'renders what galera-agent accepts, in every form', :executables do
    tls = { 'ca' => 'CA', 'server' => { 'certificate' => 'C', 'private_key' => 'K' }, 'client' => { 'certificate' => 'C', 'private_key' => 'K' } }
    [{ 'password' => 'x' }, { 'password' => Rendering::HOSTILE, 'tls' => tls }, { 'password' => 'x', 'tls' => tls.merge('mode' => 'offered') }, { 'password' => 'x', 'port' => 9201, 'available_when_donor' => false }].each do |properties|
      _out, err, status = check_config('galera-agent', JSON.dump(agent(properties)))
      expect([status.exitstatus, err]).to eq([0, ''])
    end
  end
end

RSpec.describe 'job bootstrap', type: :rendering do
  def errand(**options) = JSON.parse(render('bootstrap', 'config/galera-bootstrap.yml', **options))

  it 'knows all members and how to ask them, from the links' do
    config = errand
    expect(config['runs_on']).to eq('mysql/1')
    expect(config['cluster']['members'].map { |m| m['name'] }).to eq(%w[mysql/0 mysql/1 mysql/2])
    expect(config['agents']).to include('port' => 9200, 'username' => 'galera-agent', 'password' => 'secret')
  end

  it 'fails without the links' do
    expect { errand(links: {}) }.to raise_error(JobTemplates::MissingLink)
  end

  it 'renders what galera-bootstrap accepts, in every form', :executables do
    tls = { 'tls' => { 'ca' => 'CA', 'server_name' => 'x', 'client' => { 'certificate' => 'C', 'private_key' => 'K' } } }
    [links, links(count: 1), links(agent: tls), links(agent: { 'password' => Rendering::HOSTILE })].each do |given|
      _out, err, status = check_config('galera-bootstrap', JSON.dump(errand(links: given, index: 0)))
      expect([status.exitstatus, err]).to eq([0, ''])
    end
  end
end
