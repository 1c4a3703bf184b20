# frozen_string_literal: true

require_relative 'rendering'

RSpec.describe 'job mariadb', type: :rendering do
  def my_cnf(properties = {}, **options) = render('mariadb', 'config/my.cnf', properties: properties, **options)
  def member(properties = {}, **options) = JSON.parse(render('mariadb', 'config/member.yml', properties: properties, **options))
  def seed(properties) = JSON.parse(render('mariadb', 'config/seed.yml', properties: properties))

  it 'renders my.cnf and member.yml as reviewed, with defaults' do
    expect_golden(my_cnf, 'my.cnf')
    expect_golden(JSON.pretty_generate(member) + "\n", 'member.json')
  end

  it 'renders my.cnf as reviewed, with everything' do
    pem = { 'ca' => 'CA', 'certificate' => 'CERT', 'private_key' => 'KEY' }
    all = { 'tls' => { 'replication' => pem, 'server' => pem, 'required' => true }, 'sst_method' => 'mariabackup', 'binlog' => { 'enabled' => true },
            'provider_options' => { 'gcs.fc_limit' => 128 }, 'additional_my_cnf' => { 'mysqld' => { 'max_allowed_packet' => '256M' } } }
    expect_golden(my_cnf(all), 'my-everything.cnf')
  end

  it 'finds the own instance by its id, whatever the addresses are (DNS names too)' do
    named = links
    named['mariadb']['instances'].each { |i| i['address'] = "q-#{i['index']}.bosh" }
    config = member(links: named, index: 2)
    expect(config['instance']).to eq('mysql/2')
    expect(config['cluster']['members'].map { |m| m['address'] }).to eq(%w[q-0.bosh q-1.bosh q-2.bosh])
    expect(read_by_mariadb(my_cnf(links: named))['wsrep_cluster_address']).to eq('gcomm://q-0.bosh:4567,q-1.bosh:4567,q-2.bosh:4567')
  end

  it 'lists the members that are provisioned, so a scaled deployment is known as it is (S6, Q5)' do
    [1, 2, 5].each { |count| expect(member(links: links(count: count), index: 0)['cluster']['members'].size).to eq(count) }
  end

  it 'fails without the links' do
    expect { render('mariadb', 'config/member.yml', links: {}) }.to raise_error(JobTemplates::MissingLink)
    expect { render('mariadb', 'config/member.yml', links: { 'mariadb' => mariadb_link }) }.to raise_error(JobTemplates::MissingLink)
  end

  it 'passes hostile names and passwords through unchanged' do
    users = seed('seeded_databases' => [Rendering::HOSTILE], 'seeded_users' => { Rendering::HOSTILE => { 'role' => 'minimal', 'password' => "#{Rendering::HOSTILE}\nline" } })
    expect(users['databases']).to eq([Rendering::HOSTILE])
    expect(users['users'].first.values_at('name', 'password')).to eq([Rendering::HOSTILE, "#{Rendering::HOSTILE}\nline"])
    expect(member(links: links(agent: { 'password' => Rendering::HOSTILE }))['agents']['password']).to eq(Rendering::HOSTILE)
  end

  it 'quotes hostile values in my.cnf so that MariaDB reads them unchanged' do
    value = %q(a "b" \\ c # d ; e 'f' = g)
    expect(read_by_mariadb(my_cnf({ 'cluster_name' => value }))['wsrep_cluster_name']).to eq(value)
    expect(read_by_mariadb(my_cnf({ 'additional_my_cnf' => { 'mysqld' => { 'init_connect' => value } } }))['init_connect']).to eq(value)
  end

  it 'refuses what my.cnf cannot hold, naming the property' do
    { { 'cluster_name' => "a\nwsrep_on=OFF" } => /cluster_name must not hold a line break/,
      { 'additional_my_cnf' => { "mysqld]\n[x" => {} } } => /additional_my_cnf.*is no section/,
      { 'additional_my_cnf' => { 'mysqld' => { "a\nb" => 1 } } } => /is no option/,
      { 'additional_my_cnf' => { 'mysqld' => { 'a' => "1\nb=2" } } } => /additional_my_cnf.mysqld.a must not hold a line break/,
      { 'provider_options' => { 'gcs.fc_limit' => '1;pc.ignore_sb=true' } } => /must not hold ;/,
      { 'sst_method' => 'mysqldump' } => /sst_method: expected mariabackup or rsync/,
      { 'tls' => { 'server' => { 'ca' => 'x' } } } => /tls.server: .* together/,
      { 'tls' => { 'replication' => { 'ca' => 'x' } } } => /tls.replication: .* together/,
      { 'tls' => { 'required' => true } } => /tls.required needs tls.server/ }.each do |properties, message|
      expect { my_cnf(properties) }.to raise_error(message)
    end
  end

  it 'refuses provider options that let two primary components come about (H12)' do
    %w[pc.ignore_sb pc.ignore_quorum pc.bootstrap pc.recovery].each do |option|
      expect { my_cnf({ 'provider_options' => { option => 'true' } }) }.to raise_error(/#{option} is not to be set/)
    end
  end

  it 'refuses seeded users without role or password, naming them' do
    expect { seed('seeded_users' => { 'app' => { 'role' => 'admin' } }) }.to raise_error(/seeded_users.app.password/)
    expect { seed('seeded_users' => { 'app' => { 'password' => 'x' } }) }.to raise_error(/seeded_users.app.role/)
  end

  it 'keeps an acknowledged commit on disk, and the buffer pool warm (H7)' do
    options = read_by_mariadb(my_cnf)
    expect(options).to include('innodb_flush_log_at_trx_commit' => '1', 'binlog_format' => 'ROW', 'innodb_autoinc_lock_mode' => '2',
                               'innodb_buffer_pool_dump_at_shutdown' => 'ON', 'innodb_buffer_pool_load_at_startup' => 'ON', 'wsrep_on' => 'ON')
    expect(options['wsrep_provider_options']).to include('pc.recovery=true', 'gcache.recover=yes', 'gcache.size=512M')
  end

  it 'names every file with a secret as private' do
    config = member
    secret = job('mariadb').destinations.grep(/seed|member|\.key\z/).map { |f| "/var/vcap/jobs/mariadb/#{f}" }
    expect(config['paths']['private_files']).to match_array(secret)
  end

  it 'renders what galera-start accepts, in every form', :executables do
    tls = { 'tls' => { 'ca' => 'CA', 'server_name' => 'x', 'client' => { 'certificate' => 'C', 'private_key' => 'K' } } }
    users = { 'app' => { 'role' => 'schema', 'databases' => ['shop'], 'password' => Rendering::HOSTILE }, 'root2' => { 'role' => 'admin', 'password' => 'x', 'host' => 'localhost' } }
    [links, links(count: 1), links(agent: tls), links(agent: { 'password' => Rendering::HOSTILE })].each do |given|
      config = JSON.parse(render('mariadb', 'config/member.yml', links: given, index: 0))
      _out, err, status = check_config('galera-start', '') do |dir|
        File.write("#{dir}/seed.yml", render('mariadb', 'config/seed.yml', properties: { 'seeded_databases' => ['shop'], 'seeded_users' => users }))
        config['paths']['seed_file'] = "#{dir}/seed.yml"
        File.write("#{dir}/config.yml", JSON.dump(config))
      end
      expect([status.exitstatus, err]).to eq([0, ''])
    end
  end
end
