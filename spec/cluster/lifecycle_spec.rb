# frozen_string_literal: true

require_relative 'client'

# A client writes through the proxy all the while; what it was told is looked for on every member afterwards.
RSpec.describe 'a deployment under load', type: :cluster do
  ClusterSpec.with_lab_under_load(self, 'cycle', nodes: 1, ops: ClusterSpec::SMALL + ClusterSpec::RSYNC + [File.join(RELEASE_DIR, 'templates/ops/proxy.yml')])

  it 'grows from 1 to 3 to 5, is updated as 5, and shrinks to 3 (Q5, Q6, S6)' do
    under_load_of_client('1 to 3') { lab.deploy(nodes: 3) }
    figures = under_load_of_client('3 to 5') { lab.deploy(nodes: 5) }
    expect(figures.longest).to be < ClusterSpec::TAKE_OVER
    expect(lab.members.map { |i| wsrep(i, 'cluster_size') }).to eq(%w[5 5 5 5 5])
    figures = under_load_of_client('a rolling update of 5') { lab.deploy(properties: lab.properties.merge('mariadb.max_connections' => 55)) }
    expect(figures.longest).to be < ClusterSpec::TAKE_OVER
    figures = under_load_of_client('5 to 3') { lab.deploy(nodes: 3) }
    expect(figures.longest).to be < ClusterSpec::TAKE_OVER
  end

  it 'is updated one member after the other: a configuration, and a version of the server with its upgrade step (Q8, Q9)' do
    before = lab.members.to_h { |i| [i, log(i).lines.size] }
    # As if the data were of an older server.
    lab.members.each { |i| lab.exec(i, 'sh', '-c', 'echo 10.6.1-MariaDB > /var/vcap/store/mariadb/data/mysql_upgrade_info') }
    figures = under_load_of_client('a rolling update of 3') { lab.deploy(properties: lab.properties.merge('mariadb.max_connections' => 66)) }
    expect(figures.longest).to be < ClusterSpec::TAKE_OVER
    lab.members.each do |i|
      expect(value(i, 'SELECT @@max_connections')).to eq('66')
      now = log(i).lines.drop(before[i]).join
      expect(now.scan(/view.changed .*primary=true size=1/)).to eq([]), "#{i} was left alone"
      expect(now).to include('upgrade.done')
      expect(lab.exec(i, 'cat', '/var/vcap/store/mariadb/data/mysql_upgrade_info').out).not_to include('10.6.1')
      expect(log(i, 'mariadb/mariadb-upgrade.log')).to include('Phase')
    end
  end

  it 'makes way with its upgrade step for what others do meanwhile: both would wait for each other, and all writes for them' do
    client = '/var/vcap/packages/mariadb/bin/mariadb --no-defaults --socket=/var/vcap/sys/run/mariadb/mysqld.sock --user=vcap'
    statements = 'DROP DATABASE IF EXISTS passing; CREATE DATABASE passing; CREATE TABLE passing.t (id INT PRIMARY KEY); INSERT INTO passing.t VALUES (1);'
    # One client that never stops: the two meet within a few tries.
    churn = "while :; do echo '#{statements}'; done | #{client} --force"
    before = log('mysql/1').lines.size
    said = -> { log('mysql/1').lines.drop(before).join }
    busy = Thread.new { lab.exec('mysql/0', 'setpriv', '--reuid=vcap', '--regid=vcap', '--clear-groups', 'sh', '-c', churn, limit: 240) }
    figures = under_load_of_client('an upgrade beside databases that come and go') do
      wait('the upgrade to have met a DROP DATABASE', 120) do
        lab.exec('mysql/1', 'sh', '-c', 'echo 10.6.1-MariaDB > /var/vcap/store/mariadb/data/mysql_upgrade_info')
        lab.exec('mysql/1', 'pkill', '-KILL', '-x', 'galera-start')
        seen = said.call.scan('upgrade.').size
        wait('the upgrade to have ended, or made way') { said.call.scan('upgrade.').size > seen }
        said.call.include?('upgrade.made_way')
      end
      lab.exec('mysql/0', 'pkill', '-KILL', '-x', 'mariadb')
      wait('the upgrade to be done') { said.call.split('upgrade.made_way').last.include?('upgrade.done') }
    end
    expect(figures.longest).to be < 15
  ensure
    lab.exec('mysql/0', 'pkill', '-KILL', '-x', 'mariadb')
    busy&.join
  end

  it 'has one member recreated on its disk, and one whose VM and disk are lost' do
    expect(under_load_of_client('bosh recreate of one') { lab.recreate(1, drain: true) }.longest).to be < ClusterSpec::TAKE_OVER
    expect(under_load_of_client('a VM and its disk lost, and recreated') { lab.recreate(2, lose_disk: true) }.longest).to be < 25
  end

  it 'is upgraded around a running mariadbd: agent and supervisor are killed, and come back from new files (H17)' do
    pids = lab.members.map { |i| lab.mariadbd(i) }
    figures = under_load_of_client('supervisors and agents replaced') do
      lab.members.each do |i|
        programs = '/var/vcap/packages/mariadb-galera/bin'
        lab.exec(i, 'sh', '-c', "for p in galera-start galera-agent; do cp #{programs}/$p #{programs}/.next && mv #{programs}/.next #{programs}/$p; done")
        lab.exec(i, 'pkill', '-KILL', '-x', 'galera-start|galera-agent')
        wait('the supervisor to have adopted mariadbd') { supervisor(i)&.dig('child', 'mode') == 'adopted' }
        wait('the agent to be back') { http(i, '/', auth: false).first == 200 }
      end
    end
    expect(lab.members.map { |i| lab.mariadbd(i) }).to eq(pids)
    expect(figures.longest).to be < ClusterSpec::TAKE_OVER
  end

  it 'shrinks to 1, which serves on (Q4, Q7)' do
    under_load_of_client('3 to 1') { lab.deploy(nodes: 1) }
    expect(lab.members).to eq(%w[mysql/0])
  end
end
